package integration

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
)

// TestVolumeCopies takes whole volumes out and in, with berth's own verbs.
func TestVolumeCopies(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	s := script{t, d, harness.BerthCLI()}
	s.ok("run", "-d", "--name", "writer", "-v", "data:/d", image, "sh", "-c",
		"echo x >/d/f; ln /d/f /d/hard; mkdir /d/sub; chown 5:6 /d/sub; chmod 2770 /d; touch /d/ready; while :; do date >>/d/log; done")
	await(t, "the writer is at work", func() bool { return s.do("exec", "writer", "test", "-e", "/d/log").Code == 0 })
	file := filepath.Join(t.TempDir(), "data.tar")
	s.ok("volume", "export", "--pause", "-o", file, "data")
	s.is("running", "inspect", "-f", "{{.State.Status}}", "writer")
	s.is("copy", "volume", "import", "-i", file, "copy")
	s.is("x 2 5 6 2770", "run", "--rm", "-v", "copy:/c", image, "sh", "-c", "echo $(cat /c/hard) $(stat -c %h /c/f) $(stat -c '%u %g' /c/sub) $(stat -c %a /c)")
	s.do("volume", "import", "-i", file, "copy").Fails(t, 1, "volume copy is not empty")
	s.do("volume", "import", "--replace", "-i", file, "data").Fails(t, 1, "mounted by a running container")
	s.ok("rm", "-f", "writer")
	s.ok("volume", "import", "--replace", "-i", file, "data")
	s.do("volume", "export", "nobody").Fails(t, 1, "get nobody: no such volume")
	d.Client(harness.BerthCLI(), strings.NewReader("no tar"), "volume", "import", "broken").Fails(t, 1, "invalid tar archive")
	s.do("volume", "snapshot", "nobody", "x1").Fails(t, 1, "no such volume")
	s.do("volume", "restore", "data", "nobody").Fails(t, 1, "no such volume")
	s.volumeNames("copy data")
	s.ok("volume", "rm", "copy", "data")
	s.empty()
}

// rootOf makes a root filesystem of programs of this host, with what they are linked
// to and folders that they expect.
func rootOf(t *testing.T, programs []string, folders ...string) []byte {
	t.Helper()
	files := map[string]bool{}
	for _, p := range programs {
		path, err := exec.LookPath(p)
		if err != nil {
			t.Fatalf("%v (hack/deps test)", err)
		}
		files[path] = true
		out, _ := exec.Command("ldd", path).Output() // fails for a static one
		for field := range strings.FieldsSeq(string(out)) {
			if strings.HasPrefix(field, "/") {
				files[field] = true
			}
		}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range folders {
		if err := w.WriteHeader(&tar.Header{Name: f, Typeflag: tar.TypeDir, Mode: 0o777}); err != nil {
			t.Fatal(err)
		}
	}
	for name := range files {
		content, err := os.ReadFile(name)
		if err == nil {
			err = w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(name, "/"), Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(content))})
		}
		if err == nil {
			_, err = w.Write(content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDatabase: Redis keeps what it said it keeps in a named volume, whatever happens
// to its container and to the daemon.
func TestDatabase(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	s := script{t, d, harness.BerthCLI()}
	root := t.TempDir()
	unpack := exec.Command("tar", "-C", root, "-xf", "-")
	unpack.Stdin = bytes.NewReader(rootOf(t, []string{"redis-server", "redis-cli"}, "data", "tmp"))
	if out, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	d.Client(harness.BerthCLI(), strings.NewReader(`FROM scratch
COPY . /
VOLUME /data
WORKDIR /data
ENTRYPOINT ["redis-server","--appendonly","yes","--appendfsync","always","--dir","/data"]
`), "build", "-q", "-t", "redis:test", "-f", "-", root).OK(t)
	run := func() {
		t.Helper()
		s.ok("run", "-d", "--name", "db", "--restart", "always", "-v", "kept:/data", "redis:test")
	}
	ask := func(args ...string) string {
		return strings.TrimSpace(s.do(append([]string{"exec", "db", "redis-cli"}, args...)...).Stdout)
	}
	up := func() {
		t.Helper()
		await(t, "the database answers", func() bool { return ask("ping") == "PONG" })
	}
	holds := func(n int) {
		t.Helper()
		up()
		for i := range n {
			if got := ask("get", "key"+strconv.Itoa(i)); got != "value"+strconv.Itoa(i) {
				t.Fatalf("key %d is %q", i, got)
			}
		}
		if got := ask("set", "key"+strconv.Itoa(n), "value"+strconv.Itoa(n)); got != "OK" {
			t.Fatalf("set said %q", got)
		}
	}
	run()
	holds(0)
	s.ok("restart", "-t", "1", "db")
	holds(1)
	kill(t, s.ok("inspect", "-f", "{{.State.Pid}}", "db")) // and its policy starts it again
	awaitRestarts(t, d, "db", "1")
	holds(2)
	d.Kill()
	d.Run()
	holds(3)
	s.ok("rm", "-f", "-v", "db")
	run()
	holds(4)
	s.ok("rm", "-f", "-v", "db")
	s.ok("volume", "rm", "kept")
	s.volumeNames("")
	s.empty()
}

// manyFiles is how many files a large tree has; a million by hand.
const manyFiles = "BERTH_TEST_FILES"

// TestLargeTree copies a tree of many files in and out.
func TestLargeTree(t *testing.T) {
	t.Parallel()
	n := 5000
	if v := os.Getenv(manyFiles); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	d := start(t, harness.Options{})
	s := script{t, d, harness.BerthCLI()}
	s.ok("create", "--name", "box", "-v", "large:/v", image, "true")
	in, done := io.Pipe()
	go func() { done.CloseWithError(writeTree(done, n)) }()
	began := time.Now()
	cmd := d.Command(t.Context(), harness.BerthCLI(), "cp", "-", "box:/v") // takes as long as it takes
	cmd.Stdin = in
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	t.Logf("%d files in: %v", n, time.Since(began).Round(time.Millisecond))
	began = time.Now()
	cmd = d.Command(t.Context(), harness.BerthCLI(), "cp", "box:/v/tree", "-")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for r := tar.NewReader(out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		found++
		if content, err := io.ReadAll(r); err != nil || string(content) != filepath.Base(h.Name) {
			t.Fatalf("%s holds %q, %v", h.Name, content, err)
		}
	}
	if err := cmd.Wait(); err != nil || found != n {
		t.Errorf("%d files of %d came out, %v", found, n, err)
	}
	t.Logf("%d files out: %v; berthd had %d MiB at most", n, time.Since(began).Round(time.Millisecond), peakMemory(t, d.Pid())>>20)
	s.ok("rm", "box")
	if out, err := d.Command(t.Context(), harness.BerthCLI(), "volume", "rm", "large").CombinedOutput(); err != nil {
		t.Errorf("volume rm: %v: %s", err, out)
	}
	s.empty()
}

// writeTree writes n files, a thousand a folder, that hold their names.
func writeTree(w io.Writer, n int) error {
	t := tar.NewWriter(w)
	for i := range n {
		name := strconv.Itoa(i)
		if err := t.WriteHeader(&tar.Header{Name: filepath.Join("tree", strconv.Itoa(i/1000), name), Mode: 0o644, Size: int64(len(name))}); err != nil {
			return err
		}
		if _, err := io.WriteString(t, name); err != nil {
			return err
		}
	}
	return t.Close()
}
