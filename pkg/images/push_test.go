package images

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// sent pushes and returns the stream as fetched does, and what programs are told.
func (b *bench) sent(ref string, o PushOptions) (lines, aux []string, err error) {
	err = b.Push(b.ctx, ref, o, func(m jsonstream.Message) error {
		if m.Aux != nil {
			aux = append(aux, string(*m.Aux))
			return nil
		}
		line := m.Status
		if m.ID != "" {
			line = m.ID + ": " + line
		}
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
		return nil
	})
	return lines, aux, err
}

func (b *bench) tag(ref, name string) string {
	b.t.Helper()
	if err := b.Tag(b.ctx, ref, name); err != nil {
		b.t.Fatal(err)
	}
	b.told()
	return name
}

func TestPush(t *testing.T) {
	r, b := startRegistry(t, false), newBench(t)
	id := b.have(archive.Options{Names: []string{"x:1"}, Layers: 1, LayerSize: 300000})
	ref := b.tag("x:1", r.host+"/team/x:1")
	out, aux, err := b.sent(ref, PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	is(t, out[0], "The push refers to repository ["+r.host+"/team/x]")
	if last := out[len(out)-1]; !strings.HasPrefix(last, "1: digest: "+id+" size: ") {
		t.Error(last)
	}
	for _, step := range []string{"Waiting", "Pushing", "Pushed"} {
		if n := count(out, ": "+step); n != 2 {
			t.Errorf("%d layers: %s\n%s", n, step, strings.Join(out, "\n"))
		}
	}
	var result struct{ Tag, Digest string }
	if len(aux) != 1 || json.Unmarshal([]byte(aux[0]), &result) != nil || result.Tag != "1" || result.Digest != id {
		t.Error(aux)
	}
	same(t, b.told(), []string{"push " + ref + " " + r.host + "/team/x"})
	// Again, and to another repository of the same registry: nothing is sent.
	if out, _, err = b.sent(ref, PushOptions{}); err != nil || count(out, ": Layer already exists") != 2 || count(out, ": Pushed") > 0 {
		t.Errorf("%v\n%s", err, strings.Join(out, "\n"))
	}
	if out, _, err = b.sent(b.tag("x:1", r.host+"/other:2"), PushOptions{}); err != nil || count(out, ": Mounted from team/x") != 2 {
		t.Errorf("%v\n%s", err, strings.Join(out, "\n"))
	}
	// Another client and another store find it.
	if out, err := exec.Command("skopeo", "inspect", "--tls-verify=false", "docker://"+r.host+"/other:2").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	other := newBench(t)
	if _, err := other.fetched(ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	got, _, _, err := other.Resolve(other.ctx, ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, got, id)
}

func TestPushAll(t *testing.T) {
	r, b := startRegistry(t, false), newBench(t)
	b.have(archive.Options{Names: []string{"x:1"}})
	b.have(archive.Options{Names: []string{"y:1"}, Layers: 1})
	b.tag("x:1", r.host+"/x:a")
	b.tag("y:1", r.host+"/x:b")
	// Other clients of containerd make names without a tag.
	if _, err := b.Store.client.ImageService().Create(b.ctx, images.Image{Name: r.host + "/x", Target: b.Catalog.View().Sorted[0].Desc}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.sent(r.host+"/x", PushOptions{}); err != nil {
		t.Fatal(err)
	}
	other := newBench(t)
	if _, err := other.fetched(r.host+"/x", PullOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	same(t, other.known(), []string{r.host + "/x:a", r.host + "/x:b"})
}

// TestPushPlatforms: an index goes as a whole, or else its manifest does.
func TestPushPlatforms(t *testing.T) {
	from, r, b := startRegistry(t, false), startRegistry(t, false), newBench(t)
	arm := ocispec.Platform{OS: "linux", Architecture: "arm64"}
	m1, m2 := from.push("x", "amd", archive.Options{}), from.push("x", "arm", archive.Options{Platform: arm, Layers: 1})
	index := from.pushIndex("x", "all", m2, m1)
	if _, err := b.fetched(from.host+"/x:all", PullOptions{}); err != nil {
		t.Fatal(err)
	}
	ref := b.tag(from.host+"/x:all", r.host+"/x:all")
	out, aux, err := b.sent(ref, PushOptions{})
	if err != nil || !strings.HasPrefix(out[len(out)-1], "all: digest: "+m1.Digest.String()) {
		t.Errorf("%v %v", out, err)
	}
	if len(aux) != 2 || !strings.Contains(aux[1], `"manifestPushedInsteadOfIndex":true`) {
		t.Error(aux)
	}
	if _, _, err := b.sent(ref, PushOptions{Platform: &arm}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if _, err := b.fetched(from.host+"/x:all", PullOptions{Platform: &arm}); err != nil {
		t.Fatal(err)
	}
	out, aux, err = b.sent(ref, PushOptions{})
	if err != nil || len(aux) != 1 || !strings.HasPrefix(out[len(out)-1], "all: digest: "+index.String()) {
		t.Errorf("%v %v %v", out, aux, err)
	}
	out, _, err = b.sent(b.tag(from.host+"/x:all", r.host+"/x:arm"), PushOptions{Platform: &arm})
	if err != nil || !strings.HasPrefix(out[len(out)-1], "arm: digest: "+m2.Digest.String()) {
		t.Errorf("%v %v", out, err)
	}
}

func TestPushAuth(t *testing.T) {
	r, b := startRegistry(t, true), newBench(t)
	b.have(archive.Options{Names: []string{"x:1"}})
	ref := b.tag("x:1", r.host+"/x:1")
	for name, c := range map[string]struct {
		auth *registry.AuthConfig
		want string
	}{
		"none":  {nil, "push access denied for " + r.host + "/x, repository does not exist or may require authorization"},
		"wrong": {&registry.AuthConfig{Username: "berth", Password: "no"}, "push access denied for "},
		"right": {&registry.AuthConfig{Username: "berth", Password: "secret"}, ""},
	} {
		_, _, err := b.sent(ref, PushOptions{Auth: c.auth})
		if c.want == "" && err != nil || c.want != "" && (!errdefs.IsPermissionDenied(err) || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestPushErrors(t *testing.T) {
	b := newBench(t)
	b.have(archive.Options{Names: []string{"127.0.0.1:1/x:1"}})
	for ref, want := range map[string]string{
		"127.0.0.1:1/x:2": "tag does not exist: 127.0.0.1:1/x:2",
		"127.0.0.1:1/y":   "An image does not exist locally with the tag: 127.0.0.1:1/y",
		"127.0.0.1:1/x:1": "push 127.0.0.1:1/x:1: ",
		"UPPER":           "invalid reference format",
		"127.0.0.1:1/x@sha256:" + strings.Repeat("0", 64): "cannot push a digest reference",
		strings.Repeat("0", 64):                           "invalid reference format: an ID cannot be pushed",
	} {
		if _, _, err := b.sent(ref, PushOptions{}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", ref, err, want)
		}
	}
	// A registry that refuses in its own words.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodHead {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusConflict)
		fmt.Fprint(w, `{"errors":[{"code":"DENIED","message":"quota exceeded"}]}`)
	}))
	defer server.Close()
	ref := b.tag("127.0.0.1:1/x:1", strings.TrimPrefix(server.URL, "http://")+"/x:1")
	if _, _, err := b.sent(ref, PushOptions{}); err == nil || !strings.Contains(err.Error(), "error from registry: denied: quota exceeded") {
		t.Error(err)
	}
}
