package volumes

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/volume"
	"golang.org/x/sys/unix"
)

// sourceTree makes one entry of each kind, with attributes that are easily lost.
func sourceTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	at := func(p string) string { return filepath.Join(dir, p) }
	must(t, os.MkdirAll(at("sub/deep"), 0o755))
	must(t, os.WriteFile(at("sub/file"), []byte("content"), 0o600))
	must(t, os.Link(at("sub/file"), at("sub/deep/hard")))
	must(t, os.Link(at("sub/file"), at("top")))
	must(t, os.Symlink("/etc/passwd", at("absolute")))
	must(t, os.Symlink("../../../../etc", at("sub/climbs")))
	must(t, unix.Mkfifo(at("fifo"), 0o640))
	must(t, unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	must(t, os.WriteFile(at("program"), []byte("#!"), 0o755))
	must(t, os.Chown(at("program"), 1000, 2000))
	must(t, os.Chmod(at("program"), 0o755|os.ModeSetuid))
	must(t, unix.Lsetxattr(at("program"), "user.note", []byte("kept\x00whole"), 0))
	must(t, unix.Lsetxattr(at("program"), "security.capability", []byte("\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	must(t, os.Lchown(at("absolute"), 5, 6))
	sparse, err := os.Create(at("sparse"))
	must(t, err)
	_, err = sparse.WriteAt([]byte("middle"), 8<<20)
	must(t, err)
	must(t, sparse.Truncate(24<<20))
	must(t, sparse.Close())
	must(t, os.WriteFile(at("read-only"), []byte("x"), 0o400))
	must(t, os.Chown(at("sub"), 33, 34))
	must(t, os.Chmod(at("sub"), 0o2750))
	for _, p := range []string{"sub/file", "sub"} {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, at(p), []unix.Timespec{{Sec: 1e9}, {Sec: 1e9, Nsec: 7}}, 0))
	}
	must(t, os.Chown(dir, 70, 71))
	must(t, os.Chmod(dir, 0o1777))
	return dir
}

func checkCopy(t *testing.T, src, dst string) {
	t.Helper()
	hard := map[uint64]string{}
	must(t, filepath.WalkDir(src, func(p string, _ fs.DirEntry, err error) error {
		must(t, err)
		q := filepath.Join(dst, strings.TrimPrefix(p, src))
		var a, b unix.Stat_t
		must(t, unix.Lstat(p, &a))
		if err := unix.Lstat(q, &b); err != nil {
			t.Errorf("%s: %v", q, err)
			return nil
		}
		if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Rdev != b.Rdev || a.Mtim != b.Mtim || a.Mode&unix.S_IFMT != unix.S_IFDIR && (a.Nlink != b.Nlink || a.Size != b.Size) {
			t.Errorf("%s:\n%+v\n%+v", q, a, b)
		}
		switch a.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			x, _ := os.ReadFile(p)
			y, _ := os.ReadFile(q)
			if !bytes.Equal(x, y) {
				t.Errorf("%s: content differs", q)
			}
			if first, ok := hard[a.Ino]; ok {
				if i, _ := os.Stat(filepath.Join(dst, first)); !os.SameFile(i, must1(os.Stat(q))) {
					t.Errorf("%s and %s are two files", first, q)
				}
			}
			hard[a.Ino] = strings.TrimPrefix(p, src)
		case unix.S_IFLNK:
			if x, y := must1(os.Readlink(p)), must1(os.Readlink(q)); x != y {
				t.Errorf("%s: %s", q, y)
			}
		}
		return nil
	}))
	var st unix.Stat_t
	must(t, unix.Stat(filepath.Join(dst, "sparse"), &st))
	if st.Blocks*512 > 1<<20 {
		t.Errorf("the sparse file takes %d bytes", st.Blocks*512)
	}
	for _, name := range []string{"user.note", "security.capability"} {
		x, y := make([]byte, 100), make([]byte, 100)
		n, err := unix.Lgetxattr(filepath.Join(src, "program"), name, x)
		must(t, err)
		m, err := unix.Lgetxattr(filepath.Join(dst, "program"), name, y)
		if err != nil || !bytes.Equal(x[:n], y[:m]) {
			t.Errorf("%s: %q, %v", name, y[:m], err)
		}
	}
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestCopyUp(t *testing.T) {
	ctx, root, src := context.Background(), t.TempDir(), sourceTree(t)
	s := open(t, root)
	image := func(p string) (*os.File, error) {
		switch p {
		case "/data":
			return os.Open(src)
		case "/file":
			return nil, &fs.PathError{Op: "open", Path: p, Err: unix.ENOTDIR}
		}
		return nothing(p)
	}
	data := func(name string) string { return filepath.Join(root, name, dataDir) }
	prepare := func(id string, binds ...string) error {
		return s.Prepare(ctx, id, &container.Config{}, &container.HostConfig{Binds: binds}, nil, image)
	}
	must(t, prepare("c1", "vol:/data", "other:/none"))
	must(t, prepare("c1", "plain:/data:nocopy"))
	checkCopy(t, src, data("vol"))
	for _, empty := range []string{"other", "plain"} {
		if left, _ := os.ReadDir(data(empty)); len(left) != 0 {
			t.Errorf("%s: %v", empty, left)
		}
	}
	// What is in a volume stays as it is.
	must(t, os.Remove(filepath.Join(data("vol"), "top")))
	must(t, prepare("c2", "vol:/data"))
	if _, err := os.Lstat(filepath.Join(data("vol"), "top")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("copied again: %v", err)
	}
	if err := prepare("c3", "third:/file"); !errdefs.IsInvalidArgument(err) || err.Error() != "cannot mount volume over existing file, file exists /file" {
		t.Error(err)
	}
	// A running container keeps its folder; the content comes into it.
	_, err := s.Mounts(ctx, "c1", &container.Config{}, &container.HostConfig{Binds: []string{"other:/x"}}, nil)
	must(t, err)
	held := must1(os.Stat(data("other")))
	must(t, prepare("c4", "other:/data"))
	if !os.SameFile(held, must1(os.Stat(data("other")))) {
		t.Error("a running container's volume was exchanged")
	}
	checkCopy(t, src, data("other"))
	// One with a device is filled in place, or not at all.
	device := t.TempDir()
	must(t, unix.Mount("tmpfs", device, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { must(t, unix.Unmount(device, unix.MNT_DETACH)) })
	_, err = s.Create(ctx, volume.CreateRequest{Name: "small", DriverOpts: map[string]string{"type": "none", "device": device, "o": "bind"}})
	must(t, err)
	large := t.TempDir()
	must(t, os.WriteFile(filepath.Join(large, "a"), []byte("a"), 0o600))
	must(t, os.WriteFile(filepath.Join(large, "b"), make([]byte, 1<<20), 0o600))
	fill := func() error {
		return s.Prepare(ctx, "c6", &container.Config{}, &container.HostConfig{Binds: []string{"small:/data"}}, nil, func(string) (*os.File, error) { return os.Open(large) })
	}
	if err := fill(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("more than the device holds: %v", err)
	}
	if left, err := os.ReadDir(device); err != nil || len(left) != 0 {
		t.Errorf("half of it is left: %v, %v", left, err)
	}
	entries, _ := os.ReadDir(root)
	for _, e := range entries {
		if e.Name()[0] == '.' {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}
