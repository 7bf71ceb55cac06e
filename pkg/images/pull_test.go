package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/berth-engine/berth/pkg/images/remote"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fetched pulls and returns the stream, one "id: status" a line, repeated lines
// left out.
func (b *bench) fetched(ref string, o PullOptions) ([]string, error) {
	var out []string
	err := b.Pull(b.ctx, ref, o, func(m jsonstream.Message) error {
		line := m.Status
		if m.ID != "" {
			line = m.ID + ": " + line
		}
		if !slices.Contains(out, line) {
			out = append(out, line)
		}
		return nil
	})
	return out, err
}

func TestPull(t *testing.T) {
	r := startRegistry(t, false)
	m := r.push("library/x", "1", archive.Options{Layers: 1, LayerSize: 300000})
	b := newBench(t)
	ref := r.host + "/library/x:1"
	out, err := b.fetched(ref, PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	is(t, out[0], "1: Pulling from library/x")
	same(t, out[len(out)-2:], []string{"Digest: " + m.Digest.String(), "Status: Downloaded newer image for " + ref})
	for _, step := range []string{"Pulling fs layer", "Downloading", "Download complete", "Extracting", "Pull complete"} {
		if n := count(out, ": "+step); n != 2 {
			t.Errorf("%d layers: %s\n%s", n, step, strings.Join(out, "\n"))
		}
	}
	same(t, b.told(), []string{"pull " + ref + " " + strings.TrimSuffix(ref, ":1")})
	id, _, _, err := b.Resolve(b.ctx, ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, id, m.Digest.String())
	blobs, snaps, ingests := b.left()
	is(t, fmt.Sprint(blobs, snaps, ingests), "4 2 0")
	out, err = b.fetched(ref, PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, out, []string{"1: Pulling from library/x", "Digest: " + m.Digest.String(), "Status: Image is up to date for " + ref})
	// Another tag shares the base layer, which is not fetched again.
	r.push("library/x", "2", archive.Options{Layers: 2, LayerSize: 300000})
	out, err = b.fetched(r.host+"/library/x:2", PullOptions{})
	if err != nil || count(out, ": Already exists") != 2 || count(out, ": Downloading") != 1 {
		t.Errorf("%v\n%s", err, strings.Join(out, "\n"))
	}
	// By digest, the image has no tag of its own but is known by it.
	if _, err = b.fetched(r.host+"/library/x@"+m.Digest.String(), PullOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err := b.Inspect(b.ctx, id, catalog.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, got.RepoTags, []string{ref})
	same(t, got.RepoDigests, []string{r.host + "/library/x@" + id})
}

func count(lines []string, suffix string) (n int) {
	for _, l := range lines {
		if strings.HasSuffix(l, suffix) {
			n++
		}
	}
	return n
}

// TestPullMoved: the image that a tag named before stays, dangling.
func TestPullMoved(t *testing.T) {
	r, b := startRegistry(t, false), newBench(t)
	ref := r.host + "/x:latest"
	old := r.push("x", "latest", archive.Options{})
	if _, err := b.fetched(ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	r.push("x", "latest", archive.Options{User: "7"})
	out, err := b.fetched(ref, PullOptions{})
	if err != nil || count(out, "Status: Downloaded newer image for "+ref) != 1 {
		t.Error(out, err)
	}
	same(t, b.known(), []string{ref, "moby-dangling@" + old.Digest.String()})
}

func TestPullAll(t *testing.T) {
	r, b := startRegistry(t, false), newBench(t)
	for _, tag := range []string{"1", "2", "3"} {
		r.push("x", tag, archive.Options{User: tag})
	}
	if _, err := b.fetched(r.host+"/x", PullOptions{All: true}); err != nil {
		t.Fatal(err)
	}
	same(t, b.known(), []string{r.host + "/x:1", r.host + "/x:2", r.host + "/x:3"})
	if _, err := b.fetched(r.host+"/y", PullOptions{All: true}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}

func TestPullPlatforms(t *testing.T) {
	r, b := startRegistry(t, false), newBench(t)
	arm := ocispec.Platform{OS: "linux", Architecture: "arm64"}
	m1, m2 := r.push("x", "amd", archive.Options{}), r.push("x", "arm", archive.Options{Platform: arm, Layers: 1})
	index := r.pushIndex("x", "all", m2, m1)
	ref := r.host + "/x:all"
	if _, err := b.fetched(ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	id, _, img, err := b.Resolve(b.ctx, ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, id, index.String())
	is(t, img.Architecture, "amd64")
	if _, _, _, err := b.Resolve(b.ctx, ref, &arm); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	// The second platform joins the first, and both survive a collection.
	if _, err := b.fetched(ref, PullOptions{Platform: &arm}); err != nil {
		t.Fatal(err)
	}
	blobs, _, _ := b.left()
	is(t, blobs, 1+3+3) // index; manifest, config, layer; manifest, config, one more layer (the base is shared)
	for _, p := range []*ocispec.Platform{nil, &arm} {
		if _, _, _, err := b.Resolve(b.ctx, ref, p); err != nil {
			t.Error(err)
		}
	}
	got, err := b.Inspect(b.ctx, ref, catalog.InspectOptions{Manifests: true})
	if err != nil || len(got.Manifests) != 2 || !got.Manifests[0].Available || !got.Manifests[1].Available {
		t.Errorf("%+v %v", got.Manifests, err)
	}
	one, err := b.Inspect(b.ctx, ref, catalog.InspectOptions{Platform: &arm})
	if err != nil || one.Architecture != "arm64" || one.Descriptor.Digest != m2.Digest || len(one.RootFS.Layers) != 2 {
		t.Errorf("%+v %v", one, err)
	}
	for p, want := range map[*ocispec.Platform]int{nil: 2, &arm: 3} {
		if h, err := b.History(b.ctx, ref, p); err != nil || len(h) != want {
			t.Errorf("%+v %v", h, err)
		}
	}
	other := &ocispec.Platform{OS: "linux", Architecture: "s390x"}
	_, err = b.fetched(r.host+"/x:amd", PullOptions{Platform: other})
	if !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "was found but its platform (linux/amd64) does not match the specified platform (linux/s390x)") {
		t.Error(err)
	}
	_, err = b.fetched(ref, PullOptions{Platform: other})
	if !errdefs.IsNotFound(err) || !strings.HasPrefix(err.Error(), "no matching manifest for linux/s390x in the manifest list entries") {
		t.Error(err)
	}
}

func TestPullAuth(t *testing.T) {
	r, b := startRegistry(t, true), newBench(t)
	r.push("x", "1", archive.Options{})
	ref := r.host + "/x:1"
	for name, c := range map[string]struct {
		auth *registry.AuthConfig
		want string
	}{
		"none":    {nil, "no basic auth credentials"},
		"wrong":   {&registry.AuthConfig{Username: "berth", Password: "no"}, "pull access denied for " + r.host + "/x, repository does not exist or may require 'docker login'"},
		"right":   {&registry.AuthConfig{Username: "berth", Password: "secret"}, ""},
		"encoded": {&registry.AuthConfig{Auth: base64.StdEncoding.EncodeToString([]byte("berth:secret"))}, ""},
		"broken":  {&registry.AuthConfig{Auth: "%"}, "invalid registry credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.fetched(ref, PullOptions{Auth: c.auth})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	// Tags are listed with the same credentials.
	if _, err := b.fetched(r.host+"/x", PullOptions{All: true, Auth: &registry.AuthConfig{Username: "berth", Password: "secret"}}); err != nil {
		t.Error(err)
	}
}

func TestPullErrors(t *testing.T) {
	r, b := startRegistry(t, false), newBench(t)
	_, err := b.fetched(r.host+"/nix:1", PullOptions{})
	if !errdefs.IsNotFound(err) || !strings.HasPrefix(err.Error(), "manifest for "+r.host+"/nix:1 not found: manifest unknown") {
		t.Error(err)
	}
	_, err = b.fetched("127.0.0.1:1/x:1", PullOptions{})
	if err == nil || errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "connection refused") {
		t.Error(err)
	}
	for _, ref := range []string{"UPPER", "sha256:" + strings.Repeat("0", 64), ""} {
		if _, err := b.fetched(ref, PullOptions{}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	// A client that goes away ends the pull.
	r.push("x", "1", archive.Options{})
	gone := errors.New("client is gone")
	if err := b.Pull(b.ctx, r.host+"/x:1", PullOptions{}, func(jsonstream.Message) error { return gone }); err == nil {
		t.Error("the pull went on")
	}
	// What it had is kept for another pull, until someone wants the space.
	if report, err := b.Prune(b.ctx, nil); err != nil || report.SpaceReclaimed == 0 {
		t.Error(report, err)
	}
	blobs, snaps, ingests := b.count()
	is(t, blobs+snaps+ingests, 0)
	same(t, b.known(), nil)
}

// TestPullOnce: pulls of one image, and of images that share layers, at the same
// time fetch each blob once.
func TestPullOnce(t *testing.T) {
	r, b := startRegistry(t, false), newBench(t)
	size := 200000 + int(namespaceCount.Add(1)) // namespaces share blobs
	base := map[string]string{"base": strconv.Itoa(size)}
	r.push("x", "0", archive.Options{Files: base, Layers: 3, LayerSize: size})
	r.push("x", "1", archive.Options{Files: base, Layers: 4, LayerSize: size})
	var mu sync.Mutex
	fetched := map[string]int{}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/") {
			mu.Lock()
			fetched[req.URL.Path]++
			mu.Unlock()
		}
		forward(w, req, r.host)
	}))
	defer proxy.Close()
	ref := strings.TrimPrefix(proxy.URL, "http://") + "/x:"
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			if _, err := b.fetched(ref+strconv.Itoa(i%2), PullOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	is(t, len(fetched), 5+2) // layers and configurations
	for path, n := range fetched {
		if n != 1 {
			t.Errorf("%s was fetched %d times", path, n)
		}
	}
}

func forward(w http.ResponseWriter, req *http.Request, host string) {
	req = req.Clone(context.WithoutCancel(req.Context()))
	req.URL.Scheme, req.URL.Host, req.Host, req.RequestURI = "http", host, host, ""
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	var buf bytes.Buffer
	_, _ = buf.ReadFrom(resp.Body)
	_, _ = w.Write(buf.Bytes())
}

// TestPullLies: a registry that serves something else than it announces.
func TestPullLies(t *testing.T) {
	layer := []byte("no layer")
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:` + fmt.Sprintf("%x", sha256.Sum256(layer)) + `"]}}`)
	manifest := func(configSize, layerSize int) []byte {
		return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":"sha256:%x","size":%d},"layers":[{"mediaType":%q,"digest":"sha256:%x","size":%d}]}`,
			ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, sha256.Sum256(config), configSize, ocispec.MediaTypeImageLayer, sha256.Sum256(layer), layerSize)
	}
	good := manifest(len(config), len(layer))
	for name, c := range map[string]struct {
		manifest, head []byte // served to GET; what HEAD speaks of
		config, layer  []byte
		want           string
	}{
		"layer is other":    {good, good, config, []byte("NO LAYER"), "unexpected commit digest"},
		"layer is longer":   {good, good, config, bytes.Repeat(layer, 1000), "past expected size"},
		"layer is shorter":  {good, good, config, layer[:3], ""},
		"config is other":   {good, good, bytes.ToUpper(config), layer, "unexpected commit digest"},
		"config is huge":    {manifest(9<<20, 1), nil, config, layer, "the limit is"},
		"manifest is other": {bytes.Replace(good, []byte("layers"), []byte("LAYERS"), 1), good, config, layer, "unexpected commit digest"},
		"manifest is json":  {[]byte(`[1]`), nil, config, layer, "cannot unmarshal"},
		"manifest of index": {bytes.Replace(good, []byte(`"config"`), []byte(`"manifests":[{}],"config"`), 1), nil, config, layer, "expected manifest but found index"},
		"layer is no tar":   {good, good, config, layer, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if c.head == nil {
				c.head = c.manifest
			}
			b := newBench(t)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				data := c.manifest
				switch {
				case strings.Contains(req.URL.Path, fmt.Sprintf("%x", sha256.Sum256(config))):
					data = c.config
				case strings.Contains(req.URL.Path, fmt.Sprintf("%x", sha256.Sum256(layer))):
					data = c.layer
				case req.Method == http.MethodHead:
					data = c.head
				}
				if strings.Contains(req.URL.Path, "/manifests/") {
					w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
					w.Header().Set("Docker-Content-Digest", fmt.Sprintf("sha256:%x", sha256.Sum256(c.head)))
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				if req.Method != http.MethodHead {
					_, _ = w.Write(data)
				}
			}))
			defer server.Close()
			_, err := b.fetched(strings.TrimPrefix(server.URL, "http://")+"/x:1", PullOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if errdefs.IsInvalidArgument(err) || errdefs.IsFailedPrecondition(err) || errdefs.IsNotFound(err) {
				t.Errorf("the client is blamed: %v", err)
			}
			// A cut connection might be only that: what came is kept, until now.
			if _, err := b.Prune(b.ctx, nil); err != nil {
				t.Error(err)
			}
			blobs, snaps, ingests := b.count()
			if blobs+snaps+ingests > 0 || len(b.known()) > 0 {
				t.Errorf("%d blobs, %d snapshots, %d ingests, names %v are left", blobs, snaps, ingests, b.known())
			}
		})
	}
}

// TestPullMirror: hosts.toml sends pulls elsewhere, without the credentials.
func TestPullMirror(t *testing.T) {
	r := startRegistry(t, false)
	m := r.push("x", "1", archive.Options{})
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "registry.example"), 0o755); err != nil {
		t.Fatal(err)
	}
	toml := fmt.Sprintf("server = \"http://127.0.0.1:1\"\n[host.\"http://%s\"]\ncapabilities = [\"pull\", \"resolve\"]\n", r.host)
	if err := os.WriteFile(filepath.Join(dir, "registry.example", "hosts.toml"), []byte(toml), 0o644); err != nil {
		t.Fatal(err)
	}
	b := openBench(t, fmt.Sprintf("t%d", namespaceCount.Add(1)), remote.Config{CertsDirs: []string{"/nonexistent", dir}})
	if _, err := b.fetched("registry.example/x:1", PullOptions{Auth: &registry.AuthConfig{Username: "u", Password: "p"}}); err != nil {
		t.Fatal(err)
	}
	id, _, _, err := b.Resolve(b.ctx, "registry.example/x:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, id, m.Digest.String())
}

// TestPullHubMirror: what has no registry in its name comes from Docker Hub's mirror.
func TestPullHubMirror(t *testing.T) {
	r := startRegistry(t, false)
	m := r.push("library/x", "latest", archive.Options{})
	b := openBench(t, fmt.Sprintf("t%d", namespaceCount.Add(1)), remote.Config{Mirrors: []string{"http://" + r.host}})
	out, err := b.fetched("x", PullOptions{})
	if err != nil || count(out, "Status: Downloaded newer image for x:latest") != 1 {
		t.Fatal(out, err)
	}
	same(t, b.known(), []string{"docker.io/library/x:latest"})
	id, _, _, err := b.Resolve(b.ctx, "docker.io/library/x", nil)
	if err != nil || id != m.Digest.String() {
		t.Error(id, err)
	}
}

// TestPullOfSkopeo: another client's push, in Docker's media types.
func TestPullOfSkopeo(t *testing.T) {
	r, b := startRegistry(t, false), newBench(t)
	data, _ := sample(t, archive.Options{Names: []string{"x:1"}, Layers: 1})
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("skopeo", "copy", "--format", "v2s2", "--dest-tls-verify=false", "docker-archive:"+file, "docker://"+r.host+"/x:1").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := b.fetched(r.host+"/x:1", PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, _, img, err := b.Resolve(b.ctx, r.host+"/x:1", nil); err != nil || len(img.RootFS.DiffIDs) != 2 {
		t.Error(img, err)
	}
}
