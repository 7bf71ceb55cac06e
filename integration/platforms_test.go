package integration

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestPlatforms gives --platform to each command of images and containers that has it, of
// an image for two platforms in a registry. What runs emulated is TestBuildPlatform's.
func TestPlatforms(t *testing.T) {
	t.Parallel()
	r := harness.StartRegistry(t)
	from := start(t, harness.Options{})
	name := r.Address + "/team/both:v1"
	dir := buildContext(t, "FROM --platform=linux/amd64 "+image+` AS base-amd64
FROM scratch AS base-arm64
FROM base-$TARGETARCH
ARG TARGETARCH
COPY $TARGETARCH /arch
ENV ARCH=$TARGETARCH
CMD ["cat", "/arch"]
`, "amd64", "amd64", "arm64", "arm64")
	from.Build("berth", nil, "--provenance=false", "--platform", "linux/amd64,linux/arm64", "-t", name, dir).OK(t)
	from.Berth("push", "-q", name).OK(t)
	for client, path := range clients(t) {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			p := platforms{script{t, harness.Start(t, harness.Options{}), path}, name, "team/" + client}
			other := platforms{script{t, harness.Start(t, harness.Options{}), path}, name, ""}
			p.pulls()
			p.containers()
			p.saves(other)
			p.pushes(r)
			p.removes()
		})
	}
}

// platforms are what a client sees of an image for several.
type platforms struct {
	script
	name string
	to   string // the repository that it pushes to
}

// has wants these architectures of the image, and no other.
func (p platforms) has(archs ...string) {
	p.t.Helper()
	for _, arch := range []string{"amd64", "arm64"} {
		r := p.do("image", "inspect", "--platform", "linux/"+arch, "-f", "{{.Architecture}} {{index .Config.Env 0}}", p.name)
		switch wanted := strings.Contains(strings.Join(archs, " "), arch); {
		case wanted && !strings.HasPrefix(r.OK(p.t), arch+" "):
			p.t.Errorf("linux/%s: %q", arch, r.Stdout)
		case !wanted:
			r.Fails(p.t, 1, "does not provide the specified platform (linux/"+arch+")")
		}
	}
}

func (p platforms) pulls() {
	p.t.Helper()
	p.do("pull", "-q", "--platform", "linux/s390x", p.name).Fails(p.t, 1, "no matching manifest for linux/s390x in the manifest list entries")
	p.do("pull", "-q", "--platform", "linux/no/such/thing", p.name).Fails(p.t, 1, "linux/no/such/thing")
	p.ok("pull", "-q", "--platform", "linux/arm64", p.name)
	p.has("arm64")
	p.do("run", "--rm", "--pull", "never", "--platform", "linux/amd64", p.name).Fails(p.t, 125, "does not provide the specified platform (linux/amd64)")
	p.ok("pull", "-q", p.name)
	p.has("amd64", "arm64")
}

func (p platforms) containers() {
	p.t.Helper()
	for _, arch := range []string{"amd64", "arm64"} {
		p.contains("ARCH="+arch, "history", "--no-trunc", "--platform", "linux/"+arch, "--format", "{{.CreatedBy}}", p.name)
		p.ok("create", "--platform", "linux/"+arch, "--name", arch, p.name)
		p.is(arch, "inspect", "-f", "{{.ImageManifestDescriptor.Platform.Architecture}}", arch)
		p.contains(arch, "cp", arch+":/arch", "-")
		p.ok("rm", arch)
	}
	p.do("history", "--platform", "linux/s390x", p.name).Fails(p.t, 1, "does not provide the specified platform (linux/s390x)")
	p.do("create", "--pull", "never", "--platform", "linux/s390x", p.name).Fails(p.t, 1, "does not provide the specified platform (linux/s390x)")
	p.is("amd64", "run", "--rm", "--platform", "linux/amd64", p.name)
	p.is("amd64", "run", "--rm", p.name)
	p.ok("import", "--platform", "linux/arm64", sample, "imported")
	p.is("arm64", "image", "inspect", "-f", "{{.Architecture}}", "imported")
	p.ok("rmi", "imported")
}

func (p platforms) saves(other platforms) {
	p.t.Helper()
	one, both := filepath.Join(p.t.TempDir(), "one.tar"), filepath.Join(p.t.TempDir(), "both.tar")
	p.ok("save", "--platform", "linux/arm64", "-o", one, p.name)
	p.ok("save", "-o", both, p.name)
	p.do("save", "--platform", "linux/s390x", "-o", filepath.Join(p.t.TempDir(), "none.tar"), p.name).Fails(p.t, 1, "does not provide the specified platform (linux/s390x)")
	other.do("load", "--platform", "linux/amd64", "-i", one).Fails(p.t, 1, "linux/amd64")
	other.is("", "images", "-aq")
	for _, c := range []struct{ archs, args string }{
		{"arm64", "load --platform linux/arm64 -i " + both}, {"arm64", "load -i " + one}, {"amd64 arm64", "load -i " + both},
	} {
		other.ok(strings.Fields(c.args)...)
		other.has(strings.Fields(c.archs)...)
		other.ok("rmi", p.name)
	}
}

func (p platforms) pushes(r *harness.Registry) {
	p.t.Helper()
	name := r.Address + "/" + p.to + ":arm"
	p.ok("tag", p.name, name)
	p.do("push", "--platform", "linux/s390x", name).Fails(p.t, 1, "linux/s390x")
	p.ok("push", "--platform", "linux/arm64", name)
	out, err := exec.Command("skopeo", "inspect", "--tls-verify=false", "--raw", "docker://"+name).Output()
	var m struct {
		Config    *struct{}
		Manifests []struct{}
	}
	if err != nil || json.Unmarshal(out, &m) != nil || m.Config == nil || m.Manifests != nil {
		p.t.Errorf("%v: %s", err, out)
	}
	p.ok("rmi", name)
}

func (p platforms) removes() {
	p.t.Helper()
	p.do("rmi", "--platform", "linux/s390x", p.name).Fails(p.t, 1, "linux/s390x")
	p.ok("rmi", "--platform", "linux/arm64", p.name)
	p.has("amd64")
	p.is("amd64", "run", "--rm", p.name)
	p.ok("rmi", p.name)
	p.is("", "images", "-aq")
}
