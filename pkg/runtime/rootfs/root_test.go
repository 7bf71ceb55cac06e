package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// layers makes n folders, each with a file of its own and one that all have.
func layers(t *testing.T, n int) []string {
	t.Helper()
	base := t.TempDir()
	var dirs []string
	for i := range n {
		dir := filepath.Join(base, "snapshots", strconv.Itoa(i), "fs")
		write(t, filepath.Join(dir, strconv.Itoa(i)), "own")
		write(t, filepath.Join(dir, "all"), strconv.Itoa(i))
		dirs = append(dirs, dir)
	}
	return dirs
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// Every way to make the mount shows the same.
func TestOverlay(t *testing.T) {
	for name, c := range map[string]struct {
		layers int
		open   func(dirs []string) (*Root, error)
	}{
		"fsmount":        {2, by(fsmountOverlay)},
		"fsmount-many":   {100, by(fsmountOverlay)},
		"thread":         {2, by(threadOverlay)},
		"thread-many":    {100, by(threadOverlay)},
		"mounts":         {3, func(dirs []string) (*Root, error) { return Open(overlayMount(dirs)) }},
		"mounts-one":     {1, func(dirs []string) (*Root, error) { return Open(overlayMount(dirs)) }},
		"mounts-no-work": {2, func(dirs []string) (*Root, error) { return Open(viewMount(dirs)) }},
		"bind": {1, func(dirs []string) (*Root, error) {
			return Open([]mount.Mount{{Type: "bind", Source: dirs[0], Options: []string{"rbind", "rw"}}})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dirs := layers(t, c.layers)
			r, err := c.open(dirs)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for i := range dirs {
				if got, err := r.ReadFile(strconv.Itoa(i), 10); err != nil || string(got) != "own" {
					t.Errorf("layer %d: %q, %v", i, got, err)
				}
			}
			if got, err := r.ReadFile("all", 10); err != nil || string(got) != "0" {
				t.Errorf("the topmost: %q, %v", got, err)
			}
			if fd, err := unix.Openat(int(r.Dir().Fd()), "all", unix.O_RDWR|unix.O_CLOEXEC, 0); !errors.Is(err, unix.EROFS) {
				unix.Close(fd)
				t.Errorf("open for writing: %v", err)
			}
			table, err := os.ReadFile("/proc/thread-self/mountinfo")
			if err != nil || strings.Contains(string(table), filepath.Dir(dirs[0])) {
				t.Errorf("the mount shows (%v)", err)
			}
		})
	}
}

func by(open func(overlay) (*Root, error)) func([]string) (*Root, error) {
	return func(dirs []string) (*Root, error) { return open(overlay{lower: dirs}) }
}

func overlayMount(dirs []string) []mount.Mount {
	options := []string{"index=off", "workdir=/work", "upperdir=" + dirs[0]}
	if len(dirs) > 1 {
		options = append(options, "lowerdir="+strings.Join(dirs[1:], ":"))
	}
	return []mount.Mount{{Type: "overlay", Source: "overlay", Options: options}}
}

func viewMount(dirs []string) []mount.Mount {
	return []mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + strings.Join(dirs, ":")}}}
}

func TestOpenRefuses(t *testing.T) {
	for name, mounts := range map[string][]mount.Mount{
		"none":  nil,
		"two":   make([]mount.Mount, 2),
		"block": {{Type: "ext4", Source: "/dev/null"}},
	} {
		if _, err := Open(mounts); !errdefs.IsNotImplemented(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenMounted(t.TempDir()); !errdefs.IsNotFound(err) {
		t.Errorf("a plain folder: %v", err)
	}
	if _, err := OpenMounted("/no/such/folder"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	r, err := OpenMounted("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Open("self/exe"); err == nil {
		t.Error("a magic link was followed")
	}
}

// What a container leaves in its root must not lead the host anywhere else,
// block it or make it do something.
func TestTraps(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret"), "secret")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "etc/passwd"), "passwd")
	write(t, filepath.Join(dir, "big"), strings.Repeat("x", 11))
	for link, target := range map[string]string{
		"absolute":  "/etc/passwd",
		"dotdot":    "../../../../../../etc/passwd",
		"outside":   filepath.Join(outside, "secret"),
		"loop":      "loop",
		"etc/up":    "..",
		"fifo-link": "/fifo",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
		unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))),
		unix.Mknod(filepath.Join(dir, "socket"), unix.S_IFSOCK|0o600, 0),
	); err != nil {
		t.Fatal(err)
	}
	r, err := clone(dir, readonly)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	inside := func(err error) bool { return err == nil }
	missing := func(err error) bool { return errors.Is(err, fs.ErrNotExist) }
	for name, ok := range map[string]func(error) bool{
		"etc/passwd": inside, "/etc/passwd": inside, "/../../etc/passwd": inside,
		"absolute": inside, "dotdot": inside, "etc/up/etc/passwd": inside,
		"outside": missing, "no-such": missing, "etc/no/such": missing,
		"":          missing,
		"loop":      func(err error) bool { return errors.Is(err, unix.ELOOP) },
		"fifo":      errdefs.IsInvalidArgument,
		"fifo-link": errdefs.IsInvalidArgument,
		"etc":       errdefs.IsInvalidArgument,
		"null":      func(err error) bool { return errors.Is(err, unix.EACCES) },
		"socket":    func(err error) bool { return errors.Is(err, unix.ENXIO) },
		"big":       errdefs.IsOutOfRange,
		"etc\x00":   func(err error) bool { return errors.Is(err, unix.EINVAL) },
	} {
		got, err := r.ReadFile(name, 10)
		if !ok(err) || err == nil && string(got) != "passwd" {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
}

func TestCommonDir(t *testing.T) {
	for _, c := range []struct {
		dirs []string
		want string
	}{
		{[]string{"/a/s/1/fs", "/a/s/2/fs"}, "/a/s"},
		{[]string{"/a/s/1/fs", "/a/s/11/fs"}, "/a/s"},
		{[]string{"/a/1", "/b/1"}, "/"},
		{[]string{"/a/1"}, "/a"},
	} {
		if got := commonDir(c.dirs); got != c.want {
			t.Errorf("%v: %s", c.dirs, got)
		}
	}
}
