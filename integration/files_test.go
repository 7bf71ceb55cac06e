package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestFiles moves files in and out of containers, through each client.
func TestFiles(t *testing.T) {
	scripts(t, func(s script) {
		s.copies("running")
		s.copies("stopped")
		s.copiesRefused()
		s.copiesToMounts()
		s.diffs()
		s.exports()
		s.commits()
		s.ok("volume", "prune", "-af")
		s.empty()
	})
}

// host is a folder with something of each kind.
func (s script) host() string {
	s.t.Helper()
	dir := s.t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "tree/sub"), 0o755), os.WriteFile(filepath.Join(dir, "file"), []byte("from the host"), 0o640),
		os.WriteFile(filepath.Join(dir, "tree/sub/f"), []byte("deep"), 0o644), os.Link(filepath.Join(dir, "tree/sub/f"), filepath.Join(dir, "tree/hard")),
		os.Symlink("sub/f", filepath.Join(dir, "tree/link")), os.Symlink("file", filepath.Join(dir, "to-file")), os.Chown(filepath.Join(dir, "file"), 1234, 2345),
	} {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}

func (s script) file(name string) string {
	s.t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// copies follows Docker's rules of paths
// (https://docs.docker.com/reference/cli/docker/container/cp/), in a container that
// runs or ran.
func (s script) copies(state string) {
	s.t.Helper()
	dir := s.host()
	at := func(name string) string { return filepath.Join(dir, name) }
	const setup = "mkdir -p /dst/dir /src/sub; echo hi >/src/f; echo deep >/src/sub/g; ln -s /src /abs; ln -s f /src/l; echo to >/dst/existing; "
	if state == "running" {
		s.ok("run", "-d", "--name", "box", image, "sh", "-c", setup+"touch /ready; exec sleep 1000")
		await(s.t, "the container is set up", func() bool { return s.do("exec", "box", "test", "-e", "/ready").Code == 0 })
	} else {
		s.ok("run", "--name", "box", image, "sh", "-c", setup)
	}
	// Into it: what is there decides.
	s.ok("cp", at("file"), "box:/dst/new")
	s.ok("cp", at("file"), "box:/dst/dir")
	s.ok("cp", at("file"), "box:/dst/existing")
	s.ok("cp", at("tree"), "box:/dst/dir")     // is there: goes into it
	s.ok("cp", at("tree"), "box:/dst/made")    // is not: is made
	s.ok("cp", at("tree")+"/.", "box:/dst/in") // its content
	s.ok("cp", at("tree"), "box:/abs")         // through a link of the container
	s.ok("cp", "-L", at("to-file"), "box:/dst/followed")
	s.ok("cp", at("to-file"), "box:/dst/link")
	s.do("cp", at("file"), "box:/dst/none/").Fails(s.t, 1, "no such directory")
	s.do("cp", at("tree"), "box:/dst/existing").Fails(s.t, 1, "cannot copy directory")
	s.do("cp", at("file"), "box:/no/such/place/").Fails(s.t, 1, "no such directory")
	s.do("cp", at("none"), "box:/dst").Fails(s.t, 1, "no such file or directory")
	// Out of it: the same rules.
	out := s.t.TempDir()
	to := func(name string) string { return filepath.Join(out, name) }
	for path, want := range map[string]string{
		"/dst/new": "from the host", "/dst/dir/file": "from the host", "/dst/existing": "from the host", "/dst/dir/tree/sub/f": "deep",
		"/dst/made/hard": "deep", "/dst/in/sub/f": "deep", "/src/tree/sub/f": "deep", "/dst/followed": "from the host", "/abs/f": "hi\n",
	} {
		s.ok("cp", "box:"+path, to("one"))
		if got := s.file(to("one")); got != want {
			s.t.Errorf("%s, %s: %q", state, path, got)
		}
	}
	s.ok("cp", "box:/src", to("src"))
	s.ok("cp", "box:/src/.", out)
	s.ok("cp", "box:/src", out)
	if s.file(to("src/sub/g")) != "deep\n" || s.file(to("sub/g")) != "deep\n" || s.file(to("src/f")) != "hi\n" {
		s.t.Error("folders went elsewhere")
	}
	s.ok("cp", "box:/src/l", to("l"))
	if target, err := os.Readlink(to("l")); err != nil || target != "f" {
		s.t.Errorf("a link came out as %q, %v", target, err)
	}
	s.ok("cp", "-L", "box:/src/l", to("content"))
	if s.file(to("content")) != "hi\n" {
		s.t.Error("-L did not follow")
	}
	s.do("cp", "box:/none", out).Fails(s.t, 1, "Could not find the file /none in container box")
	s.do("cp", "nobody:/src", out).Fails(s.t, 1, "No such container: nobody")
	// As streams.
	if names := tarNames(s.t, []byte(s.do("cp", "box:/src/sub", "-").Stdout)); strings.Join(names, " ") != "sub/ sub/g" {
		s.t.Errorf("a stream of %q", names)
	}
	stream := s.do("cp", "box:/src", "-").Stdout
	for _, compressor := range []string{"", "gzip", "bzip2", "xz", "zstd"} {
		in := []byte(stream)
		if compressor != "" {
			in = pipe(s.t, in, compressor)
		}
		s.ok("cp", s.emptyDir(), "box:/dst/"+compressor+"d")
		s.d.Client(s.client, bytes.NewReader(in), "cp", "-", "box:/dst/"+compressor+"d").OK(s.t)
		s.ok("cp", "box:/dst/"+compressor+"d/src/sub/g", to("g"))
		if s.file(to("g")) != "deep\n" {
			s.t.Errorf("%s: %q", compressor, s.file(to("g")))
		}
	}
	s.d.Client(s.client, strings.NewReader("no tar"), "cp", "-", "box:/dst").Fails(s.t, 1, "invalid tar archive")
	s.ok("rm", "-f", "box")
}

func (s script) emptyDir() string {
	dir := filepath.Join(s.t.TempDir(), "empty")
	if err := os.Mkdir(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	return dir
}

func pipe(t *testing.T, in []byte, command ...string) []byte {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", command[0], err)
	}
	return out
}

// copiesRefused: what is read-only for the container is so for cp; and owners.
func (s script) copiesRefused() {
	s.t.Helper()
	dir := s.host()
	file := filepath.Join(dir, "file")
	for _, state := range []string{"running", "stopped"} {
		s.ok("run", "-d", "--name", "box", "--read-only", "-u", "33:44", "-v", "writable:/w", "-v", "writable:/r:ro", "-v", dir+":/b:ro", image, "sleep", "1000")
		if state == "stopped" {
			s.ok("kill", "box")
			s.ok("wait", "box")
		}
		s.do("cp", file, "box:/").Fails(s.t, 1, "container rootfs is marked read-only")
		s.do("cp", file, "box:/r/x").Fails(s.t, 1, "mounted volume is marked read-only")
		s.do("cp", file, "box:/b/x").Fails(s.t, 1, "mounted volume is marked read-only")
		s.ok("cp", file, "box:/w/kept")
		s.ok("cp", "-a", file, "box:/w/owned")
		s.ok("rm", "-f", "box")
		s.is("1234 2345 640\n33 44 640", "run", "--rm", "-v", "writable:/w", image, "stat", "-c", "%u %g %a", "/w/kept", "/w/owned")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		s.t.Errorf("the host's folder: %v, %v", entries, err)
	}
}

// copiesToMounts: mounts are part of what is seen, also of a container that never
// ran, and nothing of that is seen on the host.
func (s script) copiesToMounts() {
	s.t.Helper()
	dir := s.host()
	s.ok("create", "--name", "box", "-v", "outer:/v", "-v", dir+"/tree:/v/in/tree", "-v", dir+"/file:/single",
		"--mount", "type=volume,source=writable,target=/part,volume-subpath=kept", image, "true")
	s.ok("cp", filepath.Join(dir, "file"), "box:/v/in/tree/copied")
	s.ok("cp", filepath.Join(dir, "file"), "box:/v/beside")
	if s.file(filepath.Join(dir, "tree/copied")) != "from the host" {
		s.t.Error("the bind mount has no copy")
	}
	s.is("beside in", "run", "--rm", "-v", "outer:/v", image, "sh", "-c", "echo $(ls /v)")
	out := s.t.TempDir()
	s.ok("cp", "box:/single", out)
	s.ok("cp", "box:/part", out)
	s.ok("cp", "box:/v", out)
	if s.file(filepath.Join(out, "single")) != "from the host" || s.file(filepath.Join(out, "part")) != "from the host" || s.file(filepath.Join(out, "v/in/tree/sub/f")) != "deep" {
		s.t.Error("not all mounts came out")
	}
	s.ok("start", "-a", "box")
	s.ok("cp", "box:/etc/hosts", out) // ours, not the image's
	if !strings.Contains(s.file(filepath.Join(out, "hosts")), "localhost") {
		s.t.Errorf("hosts: %q", s.file(filepath.Join(out, "hosts")))
	}
	s.ok("rm", "box")
}

func (s script) diffs() {
	s.t.Helper()
	s.ok("run", "-d", "--name", "box", "-v", "outer:/v", image, "sh", "-c",
		"echo x >/etc/new; rm /etc/group; mkdir -p /made/dir; chmod 700 /var/www; rm -rf /root; mkdir /root; touch /root/again; echo >>/v/no; exec sleep 1000")
	want := "A /made\nA /made/dir\nA /v\nC /etc\nD /etc/group\nA /etc/new\nC /var\nC /var/www"
	lines := func() string { return s.ok("diff", "box") }
	await(s.t, "the changes are told", func() bool {
		got := lines()
		for line := range strings.Lines(want) {
			if !strings.Contains(got, strings.TrimSpace(line)) {
				return false
			}
		}
		return strings.Contains(got, "A /root/again")
	})
	running := lines()
	for _, hidden := range []string{"/.dockerenv", "/dev", "/proc", "/sys", "hosts", "/v/"} {
		if strings.Contains(running, hidden) {
			s.t.Errorf("diff tells of %s:\n%s", hidden, running)
		}
	}
	s.ok("kill", "box")
	s.ok("wait", "box")
	s.is(running, "diff", "box")
	s.ok("rm", "box")
}

func (s script) exports() {
	s.t.Helper()
	s.ok("run", "--name", "box", "-v", "outer:/v", image, "sh", "-c", "echo x >/new; ln /new /hard; rm /etc/group")
	names := tarNames(s.t, []byte(s.do("export", "box").Stdout))
	all := " " + strings.Join(names, " ") + " "
	for name, want := range map[string]bool{"bin/sh": true, "new": true, "hard": true, "v/": true, "v/beside": false, "etc/group": false, "/": false, "./": false} {
		if strings.Contains(all, " "+name+" ") != want {
			s.t.Errorf("export has %s: %v", name, !want)
		}
	}
	file := filepath.Join(s.t.TempDir(), "exported.tar")
	s.ok("export", "-o", file, "box")
	s.ok("import", "-c", `CMD ["cat","/hard"]`, "-m", "from an export", file, "imported:v1")
	s.is("x", "run", "--rm", "imported:v1")
	s.contains("from an export", "history", "imported:v1")
	s.do("export", "nobody").Fails(s.t, 1, "No such container: nobody")
	s.ok("rm", "box")
	s.ok("rmi", "imported:v1")
}

func (s script) commits() {
	s.t.Helper()
	s.ok("run", "-d", "--name", "box", "-e", "A=1", "-v", "outer:/v", image, "sh", "-c",
		"echo x >/new; ln /new /hard; rm /etc/group; rm -rf /var/www; mkdir /var/www; touch /ready; exec sleep 1000")
	await(s.t, "the container is set up", func() bool { return s.do("exec", "box", "test", "-e", "/ready").Code == 0 })
	s.ok("commit", "-m", "message", "-a", "author", "-c", "ENV B=$A", "-c", `CMD ["sh","-c","cat /hard; echo $A$B; ls /etc /var/www; stat -c %h /new"]`, "-c", "LABEL l=v", "box", "made:v1")
	s.is("running false", "inspect", "-f", "{{.State.Status}} {{.State.Paused}}", "box")
	s.is("message author v", "inspect", "-f", "{{.Comment}} {{.Author}} {{.Config.Labels.l}}", "made:v1")
	out := s.ok("run", "--rm", "made:v1")
	if !strings.HasPrefix(out, "x\n11\n") || strings.Contains(out, "group") || strings.Contains(out, "index") || !strings.HasSuffix(out, "\n2") {
		s.t.Errorf("the image holds %q", out)
	}
	s.contains("message", "history", "made:v1")
	s.do("commit", "-c", "RUN true", "box").Fails(s.t, 1, "RUN is not a valid change command")
	s.do("commit", "box", "Bad:Name:x").Fails(s.t, 1, "")
	s.ok("kill", "box")
	s.ok("wait", "box")
	s.ok("commit", "--pause=false", "box", "made:v2")
	s.is("x", "run", "--rm", "made:v2", "cat", "/new")
	s.ok("rm", "box")
	s.ok("rmi", "made:v1", "made:v2")
}
