package integration

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// The cache goes to a folder, a registry and the image itself, and comes back
// from there when the builder has none.
func TestBuildCacheElsewhere(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	registry := harness.StartRegistry(t).Address
	folder := filepath.Join(t.TempDir(), "cache")
	dir := buildContext(t, "FROM "+image+"\nRUN cat /proc/sys/kernel/random/uuid >/random\n")
	inline := registry + "/team/inline:v1"
	for _, c := range []struct{ name, to, from, tag string }{
		{"folder", "type=local,dest=" + folder, "type=local,src=" + folder, "a"},
		{"registry", "type=registry,mode=max,ref=" + registry + "/cache:x", registry + "/cache:x", "b"},
		{"inline", "type=inline", inline, inline},
	} {
		args := []string{"--cache-to", c.to, "-t", c.tag, dir}
		if c.name == "inline" {
			args = append([]string{"--push"}, args...)
		}
		for _, builder := range []string{"berth", "buildx"} {
			d.Build(builder, nil, args...).OK(t)
			want := d.Berth("run", "--rm", c.tag, "cat", "/random").OK(t)
			d.Berth("builder", "prune", "-af").OK(t)
			d.Berth("rmi", "-f", c.tag).OK(t)
			d.Build(builder, nil, "--cache-from", c.from, "-t", c.tag, dir).OK(t)
			if got := d.Berth("run", "--rm", c.tag, "cat", "/random").OK(t); got != want {
				t.Errorf("%s, %s: the step was done again: %q, want %q", builder, c.name, got, want)
			}
			d.Berth("builder", "prune", "-af").OK(t)
		}
	}
}

func TestBuildOutputs(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	dir := buildContext(t, "FROM scratch\nCOPY f /sub/f\n", "f", "content")
	for _, builder := range []string{"berth", "buildx"} {
		out := t.TempDir()
		in := func(name string) string { return filepath.Join(out, name) }
		d.Build(builder, nil, "-o", in("folder"), dir).OK(t)
		if b, err := os.ReadFile(in("folder/sub/f")); err != nil || string(b) != "content" {
			t.Errorf("%s: the folder has %q: %v", builder, b, err)
		}
		d.Build(builder, nil, "-o", "type=tar,dest="+in("x.tar"), dir).OK(t)
		if got := archiveNames(t, in("x.tar")); !strings.Contains(got, "sub/f") {
			t.Errorf("%s: the archive has %s", builder, got)
		}
		if r := d.Build(builder, nil, "-o", "-", dir); r.Code != 0 || !strings.Contains(r.Stdout, "content") {
			t.Errorf("%s: the standard output has %d bytes", builder, len(r.Stdout))
		}
		d.Build(builder, nil, "-o", "type=oci,dest="+in("oci.tar"), dir).OK(t)
		if got := archiveNames(t, in("oci.tar")); !strings.Contains(got, "oci-layout") {
			t.Errorf("%s: the OCI archive has %s", builder, got)
		}
		d.Build(builder, nil, "-t", "out:"+builder, "-o", "type=docker,dest="+in("docker.tar"), dir).OK(t)
		d.Berth("image", "inspect", "out:"+builder).Fails(t, 1, "No such image")
		d.Berth("load", "-i", in("docker.tar")).OK(t)
		d.Berth("image", "inspect", "out:"+builder).OK(t)

		d.Build(builder, nil, "-t", "both:"+builder, "--iidfile", in("id"), "--metadata-file", in("meta"), dir).OK(t)
		id, err := os.ReadFile(in("id"))
		if err != nil || d.Berth("image", "inspect", "-f", "{{.Id}}", "both:"+builder).OK(t) != string(id) {
			t.Errorf("%s: iidfile has %q: %v", builder, id, err)
		}
		var meta map[string]any
		if b, err := os.ReadFile(in("meta")); err != nil || json.Unmarshal(b, &meta) != nil || meta["containerimage.digest"] != string(id) {
			t.Errorf("%s: metadata is %v: %v", builder, meta, err)
		}
		// The same again is another image: its provenance has another time.
		quiet := d.Build(builder, nil, "-q", "-t", "quiet:"+builder, dir).OK(t)
		if got := d.Berth("image", "inspect", "-f", "{{.Id}}", "quiet:"+builder).OK(t); got != quiet {
			t.Errorf("%s: -q says %q, want %s", builder, quiet, got)
		}
	}
	if got := d.Build("classic", nil, "-q", dir).OK(t); !strings.HasPrefix(got, "sha256:") || strings.Contains(got, "\n") {
		t.Errorf("the first builder's -q says %q", got)
	}
}

// archiveNames are the files of an archive, with blanks between.
func archiveNames(t *testing.T, archive string) string {
	t.Helper()
	b, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(tarNames(t, b), " ")
}

// Contexts come from a pipe, from git and over HTTP; Dockerfiles from a pipe, too.
func TestBuildContexts(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	dir := buildContext(t, "FROM "+image+"\nCOPY f /f\nCMD [\"cat\", \"/f\"]\n", "f", "content", "sub/Other.Dockerfile", "FROM "+image+"\nCMD [\"echo\", \"other\"]\n")
	git := gitServer(t, dir)
	files := httptest.NewServer(http.FileServer(http.Dir(packed(t, dir))))
	t.Cleanup(files.Close)
	var archive bytes.Buffer
	pack := exec.Command("tar", "--format=pax", "-cJ", "-C", dir, ".")
	pack.Stdout = &archive
	if err := pack.Run(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, stdin string
		args        []string
		want        string
	}{
		{"archive", archive.String(), []string{"-"}, "content"},
		{"archive with another Dockerfile", archive.String(), []string{"-f", "sub/Other.Dockerfile", "-"}, "other"},
		{"Dockerfile alone", "FROM " + image + "\nCMD [\"echo\", \"alone\"]\n", []string{"-"}, "alone"},
		{"Dockerfile and a folder", "FROM " + image + "\nCOPY f /g\nCMD [\"cat\", \"/g\"]\n", []string{"-f", "-", dir}, "content"},
		{"git", "", []string{git + "#main"}, "content"},
		{"git with another Dockerfile", "", []string{"-f", "sub/Other.Dockerfile", git + "#main"}, "other"},
		{"git, a folder of it", "", []string{"-f", "Other.Dockerfile", git + "#main:sub"}, "other"},
		{"archive over HTTP", "", []string{files.URL + "/context.tar.gz"}, "content"},
		{"Dockerfile over HTTP", "", []string{files.URL + "/Plain"}, "plain"},
	} {
		for _, builder := range []string{"berth", "buildx", "classic"} {
			d.Build(builder, strings.NewReader(c.stdin), append([]string{"-t", "ctx"}, c.args...)...).OK(t)
			if got := d.Berth("run", "--rm", "ctx").OK(t); got != c.want {
				t.Errorf("%s, %s: %q, want %q", builder, c.name, got, c.want)
			}
		}
	}
}

// gitServer serves a folder's files as a repository.
func gitServer(t *testing.T, dir string) string {
	t.Helper()
	root := t.TempDir()
	script := `set -e; cp -r "$0/." "$1/work"; cd "$1/work"; git init -q -b main .; git add .; ` +
		`git -c user.name=x -c user.email=x@example.org commit -qm x; git clone -q --bare . ../repo.git`
	if out, err := exec.Command("sh", "-c", "mkdir \"$1/work\"; "+script, dir, root).CombinedOutput(); err != nil {
		t.Fatalf("git: %v: %s", err, out)
	}
	s := httptest.NewServer(&cgi.Handler{
		Path: "/usr/lib/git-core/git-http-backend",
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	})
	t.Cleanup(s.Close)
	return s.URL + "/repo.git"
}

// packed is a folder with the archive of another, and a Dockerfile.
func packed(t *testing.T, dir string) string {
	t.Helper()
	out := t.TempDir()
	if err := exec.Command("tar", "-czf", filepath.Join(out, "context.tar.gz"), "-C", dir, ".").Run(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(out, "Plain"), []byte("FROM "+image+"\nCMD [\"echo\", \"plain\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return out
}

// A step reaches the client's SSH agent, and only where it is asked for.
func TestBuildSSH(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	key := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dir := buildContext(t, "FROM "+image+"\nRUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo agent >/out\nRUN test -z \"$SSH_AUTH_SOCK\" && echo none >>/out\n")
	for _, builder := range []string{"berth", "buildx"} {
		d.Build(builder, nil, "--no-cache", "--ssh", "default="+key, "-t", "ssh", dir).OK(t)
		if got := d.Berth("run", "--rm", "ssh", "cat", "/out").OK(t); got != "agent\nnone" {
			t.Errorf("%s: %q", builder, got)
		}
	}
}

// Docker's plugin works as with Docker: all of its commands that the docker
// driver has.
func TestBuildx(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	x := func(args ...string) string { t.Helper(); return d.Buildx(nil, args...).OK(t) }
	if got := x("ls"); !strings.Contains(got, "docker") || !strings.Contains(got, "running") || strings.Contains(got, "unknown") {
		t.Errorf("ls: %s", got)
	}
	if got := x("inspect", "--bootstrap"); !strings.Contains(got, "linux/amd64") {
		t.Errorf("inspect: %s", got)
	}
	dir := buildContext(t, "FROM "+image+" AS base\nARG V=none\nRUN echo $V >/v\nCMD [\"cat\", \"/v\"]\n", "docker-bake.hcl", `
group "default" { targets = ["one", "two"] }
target "one" {
  tags = ["bake:one"]
  args = { V = "1" }
}
target "two" {
  inherits = ["one"]
  tags = ["bake:two"]
  args = { V = "2" }
}`)
	d.Buildx(nil, "bake", "--allow=fs.read="+dir, "--set", "*.context="+dir, "-f", filepath.Join(dir, "docker-bake.hcl")).OK(t)
	for tag, want := range map[string]string{"one": "1", "two": "2"} {
		if got := d.Berth("run", "--rm", "bake:"+tag).OK(t); got != want {
			t.Errorf("bake:%s says %s", tag, got)
		}
	}
	if got := x("du"); !strings.Contains(got, "Total:") {
		t.Errorf("du: %s", got)
	}
	ids := strings.Fields(x("history", "ls", "--format", "{{.Ref}}"))
	if len(ids) < 2 {
		t.Fatalf("history: %q", ids)
	}
	ref := ids[0][strings.LastIndex(ids[0], "/")+1:]
	if got := x("history", "inspect", ref); !strings.Contains(got, "Status:") && !strings.Contains(got, "Build Steps:") {
		t.Errorf("history inspect: %s", got)
	}
	tells(t, d.Buildx(nil, "history", "logs", "--progress=plain", ref), "DONE")
	if got := x("history", "inspect", "--format", "json", ref); !strings.Contains(got, `"Status":"completed"`) && !strings.Contains(got, `"Status": "completed"`) {
		t.Errorf("history inspect: %s", got)
	}
	if got := x("history", "inspect", "attachment", "--type", "provenance", ref); !strings.Contains(got, "buildType") {
		t.Errorf("history inspect attachment: %s", got)
	}
	record := filepath.Join(t.TempDir(), "record.dockerbuild")
	x("history", "export", "-o", record, ref)
	if info, err := os.Stat(record); err != nil || info.Size() == 0 {
		t.Errorf("history export: %v", err)
	}
	x("history", "rm", ref)
	if got := x("history", "ls", "--format", "{{.Ref}}"); strings.Contains(got, ref) {
		t.Errorf("history rm leaves %s", got)
	}
	d.Buildx(nil, "build", buildContext(t, "FROM "+image+"\nRUN exit 5\n")).Fails(t, 1, "exit code: 5")
	if got := x("history", "ls", "--format", "{{.Status}}"); !strings.Contains(got, "Error") {
		t.Errorf("history has no build that failed: %s", got)
	}
	name := harness.StartRegistry(t).Address + "/team/x:v1"
	x("build", "--push", "-t", name, dir)
	if got := x("imagetools", "inspect", name); !strings.Contains(got, "application/vnd.oci.image.index") {
		t.Errorf("imagetools: %s", got)
	}
	x("imagetools", "create", "-t", name+"-copy", name)
	if got := x("imagetools", "inspect", "--raw", name+"-copy"); !strings.Contains(got, `"manifests"`) {
		t.Errorf("imagetools create: %s", got)
	}
	if got := x("bake", "--print", "-f", filepath.Join(dir, "docker-bake.hcl")); !strings.Contains(got, `"bake:two"`) {
		t.Errorf("bake --print: %s", got)
	}
	if got := x("du", "--filter", "type=source.local", "--format", "{{.Type}}"); got == "" || strings.Contains(got, "regular") {
		t.Errorf("du --filter: %s", got)
	}
	if got := x("prune", "-f", "--filter", "type=frontend"); strings.Contains(got, "regular") {
		t.Errorf("prune --filter: %s", got)
	}
	if got := x("prune", "-af"); !strings.Contains(got, "Total:") {
		t.Errorf("prune: %s", got)
	}
}

// docker CLI 20.10 builds by BuildKit through the first builder's endpoint.
func TestBuildByOldCLI(t *testing.T) {
	t.Parallel()
	const old = "/usr/bin/docker"
	d := start(t, harness.Options{})
	if got := d.Client(old, nil, "--version").OK(t); !strings.Contains(got, "version 20.10") {
		t.Fatalf("the old CLI is %s", got)
	}
	dir := buildContext(t, "FROM "+image+"\nRUN --mount=type=secret,id=s cat /run/secrets/s >/x\nCMD [\"cat\", \"/x\"]\n", "s", "word")
	r := d.Client("/usr/bin/env", nil, "DOCKER_BUILDKIT=1", old, "build", "-t", "old", "--secret", "id=s,src="+filepath.Join(dir, "s"), dir)
	r.OK(t)
	tells(t, r, "2/2] RUN", "naming to docker.io/library/old")
	if got := d.Berth("run", "--rm", "old").OK(t); got != "word" {
		t.Errorf("it says %q", got)
	}
	r = d.Client("/usr/bin/env", nil, "DOCKER_BUILDKIT=1", old, "build", buildContext(t, "FROM "+image+"\nRUN exit 6\n"))
	r.Fails(t, 1, "exit code: 6")
}
