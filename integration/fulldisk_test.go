package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	"golang.org/x/sys/unix"
)

// full is what every client is told of a disk that is full.
const full = "no space left on device"

// onDisk has a daemon keep its data on a file system of its own until the end of the
// test.
func onDisk(t *testing.T, d *harness.Daemon, mount func(at string) error) {
	t.Helper()
	d.Terminate()
	if err := mount(d.Data()); err != nil {
		t.Fatal(err)
	}
	d.Run()
	t.Cleanup(func() {
		d.Berth("rm", "-f", "box")
		d.Terminate()
		if err := unix.Unmount(d.Data(), 0); err != nil {
			t.Error(err)
		}
		d.Run()
	})
	d.Berth("load", "-q", "-i", sample).OK(t)
	d.Berth("run", "-d", "--name", "box", image, "sleep", "1000").OK(t)
}

// fill leaves no room on the disk, until it is emptied.
func (s script) fill() {
	s.t.Helper()
	s.do("exec", "box", "dd", "if=/dev/urandom", "of=/fill", "bs=4k").Fails(s.t, 1, "No space left")
}

func (s script) unfill() {
	s.t.Helper()
	s.ok("exec", "box", "rm", "/fill")
}

// TestFullDisk: on a disk that is full, what needs more says so, and leaves nothing
// half done; with room again, it works.
func TestFullDisk(t *testing.T) {
	scripts(t, func(s script) {
		onDisk(s.t, s.d, func(at string) error { return unix.Mount("tmpfs", at, "tmpfs", 0, "size=64m") })
		s.filesOnFullDisk()
		s.volumesOnFullDisk()
		s.ok("rm", "-f", "box")
		awaitNoSnapshots(s.t, s.d)
	})
}

// awaitNoSnapshots waits for containerd to have no layer that is half unpacked.
func awaitNoSnapshots(t *testing.T, d *harness.Daemon) {
	t.Helper()
	var left []string
	defer func() {
		if t.Failed() {
			t.Logf("left: %q", left)
		}
	}()
	await(t, "no half layers", func() bool {
		left = slices.DeleteFunc(d.Leftovers(), func(s string) bool { return !strings.HasPrefix(s, "snapshot ") })
		return len(left) == 0
	})
}

func (s script) filesOnFullDisk() {
	s.t.Helper()
	large := filepath.Join(s.t.TempDir(), "large")
	if err := os.WriteFile(large, make([]byte, 80<<20), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.do("cp", large, "box:/large").Fails(s.t, 1, full)
	s.do("cp", "box:/large", "-").Fails(s.t, 1, "Could not find the file")
	tree := pipe(s.t, nil, "tar", "-C", filepath.Dir(large), "-cf", "-", "large")
	s.d.Client(harness.BerthCLI(), bytes.NewReader(tree), "volume", "import", "data").Fails(s.t, 1, full)
	s.volumeNames("")
	s.d.Client(s.client, bytes.NewReader(tree), "import", "-", "large:v1").Fails(s.t, 1, full)
	images := s.ok("images", "-qa")
	s.fill()
	s.do("commit", "box", "large:v2").Fails(s.t, 1, full)
	s.is(images, "images", "-qa")
	s.is("running", "inspect", "-f", "{{.State.Status}}", "box")
	s.unfill()
	s.ok("commit", "box", "small:v1")
	s.ok("rmi", "small:v1")
}

func (s script) volumesOnFullDisk() {
	s.t.Helper()
	s.ok("exec", "box", "sh", "-c", "mkdir /full && echo first >/full/a && dd if=/dev/urandom of=/full/b bs=1M count=6 2>/dev/null && echo last >/full/c")
	s.ok("commit", "box", "full:v1")
	s.ok("exec", "box", "rm", "-r", "/full")
	s.ok("run", "--rm", "-v", "kept:/v", image, "sh", "-c", "echo kept >/v/f")
	s.fill()
	s.do("volume", "create", "none").Fails(s.t, 1, full)
	s.do("create", "--name", "none", "-v", "none:/full", "full:v1").Fails(s.t, 1, full)
	s.do("create", "--name", "none", "-v", "/full", "full:v1").Fails(s.t, 1, full)
	s.ok("exec", "box", "sh", "-c", "truncate -s $(($(stat -c %s /fill)-3000000)) /fill") // room for all but the copy
	s.do("create", "--name", "none", "-v", "none:/full", "full:v1").Fails(s.t, 1, full)
	s.do("create", "--name", "none", "-v", "kept:/v", "-v", "/full", "full:v1").Fails(s.t, 1, full)
	s.is("box", "ps", "-a", "--format", "{{.Names}}")
	s.volumeNames("kept")
	s.onlyVolumes()
	// What is there can be saved, and stays when it cannot be replaced.
	file := filepath.Join(s.t.TempDir(), "kept.tar")
	s.d.Berth("volume", "export", "-o", file, "kept").OK(s.t)
	large := bytes.NewReader(pipe(s.t, nil, "tar", "-C", s.largeFolder(), "-cf", "-", "."))
	s.d.Client(harness.BerthCLI(), large, "volume", "import", "--replace", "kept").Fails(s.t, 1, full)
	s.d.Berth("volume", "import", "--replace", "-i", file, "kept").OK(s.t)
	s.unfill()
	s.is("kept", "run", "--rm", "-v", "kept:/v", image, "cat", "/v/f")
	s.is("first last 6291456", "run", "--rm", "-v", "none:/x/full", "-v", "whole:/full", "full:v1", "sh", "-c", "echo $(cat /full/a /full/c) $(stat -c %s /full/b)")
	s.onlyVolumes()
	s.ok("volume", "rm", "kept", "none", "whole")
	s.ok("rmi", "full:v1")
}

// largeFolder holds more than there is room for.
func (s script) largeFolder() string {
	s.t.Helper()
	dir := s.t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 8<<20), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return dir
}

// TestSnapshots keeps and restores volumes by reflink, also where there is no room left.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	disk := filepath.Join(t.TempDir(), "disk")
	onDisk(t, d, func(at string) error {
		if err := os.WriteFile(disk, nil, 0o600); err != nil {
			return err
		}
		for _, c := range [][]string{{"truncate", "-s", "256M", disk}, {"mkfs.btrfs", "-q", disk}, {"mount", "-o", "loop", disk, at}} {
			if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", c, out)
				return err
			}
		}
		return nil
	})
	s := script{t, d, harness.BerthCLI()}
	const show = "cat /v/f; stat -c %s /v/large"
	s.ok("run", "--rm", "-v", "data:/v", image, "sh", "-c", "echo old >/v/f; dd if=/dev/urandom of=/v/large bs=1M count=20 2>/dev/null")
	s.ok("volume", "snapshot", "data", "before")
	s.is("data", "volume", "inspect", "-f", `{{index .Labels "berth-engine.snapshot-of"}}`, "before")
	s.ok("run", "--rm", "-v", "data:/v", image, "sh", "-c", "echo new >/v/f; echo >/v/large")
	s.ok("run", "-d", "--name", "user", "-v", "data:/v", image, "sleep", "1000")
	s.do("volume", "restore", "data", "before").Fails(t, 1, "mounted by a running container")
	s.do("volume", "snapshot", "data", "before").Fails(t, 1, "volume before exists already")
	s.ok("rm", "-f", "user")
	s.is("old\n20971520", "run", "--rm", "-v", "before:/v", image, "sh", "-c", show)
	s.is("new\n1", "run", "--rm", "-v", "data:/v", image, "sh", "-c", show)
	s.ok("volume", "restore", "data", "before")
	s.is("old\n20971520", "run", "--rm", "-v", "data:/v", image, "sh", "-c", show)
	s.fill()
	tar := bytes.NewReader(pipe(t, nil, "tar", "-C", s.largeFolder(), "-cf", "-", "."))
	d.Client(s.client, tar, "volume", "import", "--replace", "data").Fails(t, 1, full)
	if got := s.do("volume", "snapshot", "data", "more"); got.Code != 0 { // it may need no room
		got.Fails(t, 1, full)
		s.volumeNames("before data")
	}
	if got := s.do("volume", "restore", "data", "before"); got.Code != 0 {
		got.Fails(t, 1, full)
	}
	s.onlyVolumes()
	s.unfill()
	for _, name := range []string{"data", "before"} {
		s.is("old\n20971520", "run", "--rm", "-v", name+":/v", image, "sh", "-c", show)
	}
	s.ok("volume", "prune", "-af")
	s.volumeNames("")
}
