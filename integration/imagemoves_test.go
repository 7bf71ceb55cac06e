package integration

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestImageMoves takes images from one daemon to another, by archives and
// through a registry, with each client.
func TestImageMoves(t *testing.T) {
	t.Parallel()
	for client, path := range clients(t) {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			s := script{t, start(t, harness.Options{}), path}
			other := script{t, harness.Start(t, harness.Options{}), path}
			s.ok("tag", image, "berth-test:v2")
			for _, step := range []struct {
				name string
				run  func(s, other script)
			}{
				{"saves", script.saves}, {"pushes", script.pushes}, {"prunes", script.prunes},
			} {
				if !t.Run(step.name, func(t *testing.T) { step.run(script{t, s.d, path}, script{t, other.d, path}) }) {
					break
				}
			}
		})
	}
}

func (s script) saves(other script) {
	file := filepath.Join(s.t.TempDir(), "saved.tar")
	s.ok("save", "-o", file, "berth-test")
	other.is("Loaded image: berth-test:latest\nLoaded image: berth-test:v2", "load", "-i", file)
	other.is("moved", "run", "--rm", "berth-test:v2", "echo", "moved")
	id := s.ok("image", "inspect", "-f", "{{.Id}}", image)
	other.is(id, "image", "inspect", "-f", "{{.Id}}", image)
	if out, err := exec.Command("skopeo", "inspect", "docker-archive:"+file+":"+image).CombinedOutput(); err != nil {
		s.t.Errorf("skopeo: %v: %s", err, out)
	}
	other.ok("rmi", "-f", id)
	// As a stream, by ID and by name.
	saved := s.do("save", id)
	saved.OK(s.t)
	r := other.d.Client(other.client, strings.NewReader(saved.Stdout), "load")
	if got := r.OK(s.t); got != "Loaded image ID: "+id {
		s.t.Errorf("load says %q", got)
	}
	saved = s.do("save", image, "berth-test:v2")
	saved.OK(s.t)
	var out bytes.Buffer
	for _, l := range strings.Fields(other.d.Client(other.client, strings.NewReader(saved.Stdout), "load", "-q").OK(s.t)) {
		if strings.HasPrefix(l, "berth-test:") {
			out.WriteString(l + " ")
		}
	}
	if out.String() != "berth-test:latest berth-test:v2 " {
		s.t.Errorf("loaded %q", out.String())
	}
	s.do("save", image, "nobody").Fails(s.t, 1, "No such image: nobody:latest")
	s.empty()
}

func (s script) pushes(other script) {
	r := harness.StartRegistry(s.t)
	name := r.Address + "/team/app"
	s.ok("tag", image, name+":v1")
	s.ok("tag", image, name+":v2")
	seen := s.contains("v1: digest: sha256:", "push", name+":v1")
	for _, want := range []string{"The push refers to repository [" + name + "]", ": Pushed"} {
		if !strings.Contains(seen, want) {
			s.t.Errorf("%q is not in:\n%s", want, seen)
		}
	}
	s.contains("Layer already exists", "push", name+":v1")
	s.is(name+":v1", "push", "-q", name+":v1")
	s.contains("v2: digest: sha256:", "push", "-a", name)
	other.is("from the registry", "run", "--quiet", "--rm", name+":v2", "echo", "from the registry")
	if out, err := exec.Command("skopeo", "inspect", "--tls-verify=false", "docker://"+name+":v1").CombinedOutput(); err != nil {
		s.t.Errorf("skopeo: %v: %s", err, out)
	}
	s.do("push", name+":v3").Fails(s.t, 1, "tag does not exist: "+name+":v3")
	s.do("push", "-a", name+"/nothing").Fails(s.t, 1, "An image does not exist locally with the tag: "+name+"/nothing")
	s.ok("tag", image, "127.0.0.1:1/nobody:v1")
	s.do("push", "127.0.0.1:1/nobody:v1").Fails(s.t, 1, "connection refused")
}

func (s script) prunes(other script) {
	s.is("Total reclaimed space: 0B", "image", "prune", "-f")
	id := s.ok("image", "inspect", "-f", "{{.Id}}", image)
	other.ok("create", "--name", "user", "berth-test:v2")
	other.is("Total reclaimed space: 0B", "image", "prune", "-af")
	other.ok("rm", "user")
	other.is("Total reclaimed space: 0B", "image", "prune", "-af", "--filter", "label=nobody=has")
	s.do("image", "prune", "-f", "--filter", "reference=x").Fails(s.t, 1, "invalid filter 'reference'")
	out := other.contains("deleted: "+id, "image", "prune", "-af", "--filter", "until=1s")
	if strings.Contains(out, "space: 0B") || !strings.Contains(out, "untagged: berth-test:v2") {
		s.t.Errorf("prune says %s", out)
	}
	other.is("", "images", "-aq")
	s.is("still here", "run", "--rm", image, "echo", "still here")
}

// imageMoves saves, pushes and prunes. Two names make one archive; pulled is in
// a registry.
func (c *talk) imageMoves(pulled, id string) {
	for operation, object := range map[string]string{"ImageGet": image, "ImageGetAll": ""} {
		saved := c.ask(operation, object, url.Values{"names": {image, id}}, nil, 200)
		if got := string(c.ask("ImageLoad", "", nil, bytes.NewReader(saved), 200)); !strings.Contains(got, "Loaded image: "+image) {
			c.t.Errorf("load of what %s saved says %s", operation, got)
		}
	}
	c.ask("ImageGet", "nobody", nil, nil, 404)
	at := strings.LastIndex(pulled, ":")
	if got := string(c.ask("ImagePush", pulled[:at], url.Values{"tag": {pulled[at+1:]}}, nil, 200)); !strings.Contains(got, pulled[at+1:]+": digest: sha256:") {
		c.t.Errorf("push says %s", got)
	}
	var pruned struct {
		ImagesDeleted  []struct{ Deleted string }
		SpaceReclaimed *uint64
	}
	if c.into(&pruned, "ImagePrune", "", url.Values{"filters": {`{"dangling":["true"]}`}}, nil, 200); pruned.SpaceReclaimed == nil {
		c.t.Errorf("pruned: %+v", pruned)
	}
	c.ask("ImagePrune", "", url.Values{"filters": {`{"reference":["x"]}`}}, nil, 400)
	var statements []struct{ PredicateType string }
	if c.into(&statements, "ImageAttestations", image, url.Values{"statement": {"1"}}, nil, 200); statements == nil {
		c.t.Error("no list of attestations")
	}
	c.registries(pulled)
}

// registries asks a registry for what is not an image. Debian's has no search.
func (c *talk) registries(pulled string) {
	host, _, _ := strings.Cut(pulled, "/")
	c.ask("SystemAuth", "", nil, map[string]any{"username": "u", "password": "p", "serveraddress": host}, 200)
	var d struct {
		Descriptor struct{ Digest string }
		Platforms  []struct{ Architecture string }
	}
	if c.into(&d, "DistributionInspect", pulled, nil, nil, 200); d.Descriptor.Digest == "" || len(d.Platforms) != 1 {
		c.t.Errorf("distribution: %+v", d)
	}
	index := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"results":[{"name":"busybox","star_count":3}]}`)
	}))
	defer index.Close()
	var found []struct{ Name string }
	term := strings.TrimPrefix(index.URL, "http://") + "/busybox"
	if c.into(&found, "ImageSearch", "", url.Values{"term": {term}}, nil, 200); len(found) != 1 || found[0].Name != "busybox" {
		c.t.Errorf("search: %+v", found)
	}
}
