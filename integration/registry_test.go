package integration

import (
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestRegistry pulls from a real registry through each client.
func TestRegistry(t *testing.T) {
	t.Parallel()
	r := harness.StartRegistry(t)
	name := r.Push(sample, "team/app:v1")
	for client, path := range clients(t) {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			s := script{t, harness.Start(t, harness.Options{}), path}
			s.pulls(name)
		})
	}
}

func (s script) pulls(name string) {
	s.t.Helper()
	repository, _, _ := strings.Cut(name, ":v1")
	s.do("run", "--rm", "--pull", "never", name, "true").Fails(s.t, 125, "No such image: "+name)
	r := s.do("run", "--rm", name, "echo", "from afar")
	if r.OK(s.t) != "from afar" {
		s.t.Fatalf("stdout %q", r.Stdout)
	}
	for _, want := range []string{
		"Unable to find image '" + name + "' locally", "v1: Pulling from team/app",
		"Pull complete", "Digest: sha256:", "Status: Downloaded newer image for " + name,
	} {
		if !strings.Contains(r.Stderr, want) {
			s.t.Errorf("%q is not in:\n%s", want, r.Stderr)
		}
	}
	s.contains("Status: Image is up to date for "+name, "pull", name)
	s.is("again", "run", "--rm", name, "echo", "again")
	s.is(name, "pull", "-q", name)
	digest := s.ok("image", "inspect", "-f", "{{index .RepoDigests 0}}", name)
	if !strings.HasPrefix(digest, repository+"@sha256:") {
		s.t.Fatalf("digest %q", digest)
	}
	s.contains("Untagged: "+name, "rmi", name)
	s.contains("Status: Downloaded newer image for "+digest, "pull", digest)
	s.is("by digest", "run", "--rm", digest, "echo", "by digest")
	s.contains(repository, "images", "-a", "--digests")
	s.do("pull", repository+":v2").Fails(s.t, 1, "manifest for "+repository+":v2 not found: manifest unknown")
	s.do("pull", repository+"/nothing").Fails(s.t, 1, "not found")
	s.do("pull", "127.0.0.1:1/nobody").Fails(s.t, 1, "connection refused")
	s.do("run", "--rm", repository+":v2").Fails(s.t, 125, "not found")
	s.do("pull", strings.Split(digest, "@")[0]+"@sha256:"+strings.Repeat("0", 64)).Fails(s.t, 1, "not found")
	s.empty()
}
