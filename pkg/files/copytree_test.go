package files

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

func both(t *testing.T, dst, src string) (to, from *os.File) {
	t.Helper()
	var errs [2]error
	to, errs[0] = os.Open(dst)
	from, errs[1] = os.Open(src)
	check(t, errs[:]...)
	t.Cleanup(func() { to.Close(); from.Close() })
	return to, from
}

func TestCopyTree(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	fill(t, src)
	to, from := both(t, dst, src)
	check(t, CopyTree(t.Context(), to, from))
	compare(t, describe(t, dst, true), describe(t, src, true))
	if err := CopyTree(t.Context(), to, from); !errors.Is(err, fs.ErrExist) {
		t.Errorf("names that are there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := CopyTree(ctx, to, from); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// To another file system the kernel does not copy ranges; the result is the same.
func TestCopyTreeAcross(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	fill(t, src)
	check(t, unix.Mount("tmpfs", dst, "tmpfs", 0, ""))
	t.Cleanup(func() { check(t, unix.Unmount(dst, unix.MNT_DETACH)) })
	to, from := both(t, dst, src)
	check(t, CopyTree(t.Context(), to, from))
	compare(t, describe(t, dst, true), describe(t, src, true))
	if err := CloneTree(t.Context(), to, from); !errdefs.IsNotImplemented(err) && !errors.Is(err, fs.ErrExist) {
		t.Errorf("clone on a file system without reflinks: %v", err)
	}
}

func TestCopyTreeDepth(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	fd, err := unix.Open(src, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	check(t, err)
	for range maxDepth + 2 {
		check(t, unix.Mkdirat(fd, "d", 0o755))
		next, err := unix.Openat(fd, "d", unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		check(t, err, unix.Close(fd))
		fd = next
	}
	check(t, unix.Close(fd))
	to, from := both(t, dst, src)
	if err := CopyTree(t.Context(), to, from); err == nil || !strings.Contains(err.Error(), "nested deeper than") {
		t.Error(err)
	}
}

// mountLoop mounts a new file system that is a file.
func mountLoop(t *testing.T, mkfs ...string) string {
	t.Helper()
	dir := t.TempDir()
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "at")
	f, err := os.Create(image)
	check(t, err, f.Truncate(320<<20), f.Close(), os.Mkdir(at, 0o755))
	if out, err := exec.Command(mkfs[0], append(mkfs[1:], image)...).CombinedOutput(); err != nil {
		t.Fatalf("%s (hack/deps test): %v: %s", mkfs[0], err, out)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, at).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() { check(t, unix.Unmount(at, unix.MNT_DETACH)) })
	return at
}

// A clone shares its blocks with the original until one of them is written to.
func TestCloneTree(t *testing.T) {
	at := mountLoop(t, "mkfs.btrfs", "-q")
	src, dst := filepath.Join(at, "src"), filepath.Join(at, "dst")
	check(t, os.Mkdir(src, 0o755), os.Mkdir(dst, 0o755))
	fill(t, src)
	check(t, os.WriteFile(filepath.Join(src, "large"), []byte(strings.Repeat("large", 16<<20)), 0o644))
	unix.Sync()
	var before, after unix.Statfs_t
	check(t, unix.Statfs(at, &before))
	to, from := both(t, dst, src)
	check(t, CloneTree(t.Context(), to, from))
	compare(t, describe(t, dst, true), describe(t, src, true))
	unix.Sync()
	if check(t, unix.Statfs(at, &after)); (before.Bfree-after.Bfree)*uint64(after.Bsize) > 16<<20 {
		t.Errorf("the clone took %d blocks of %d bytes", before.Bfree-after.Bfree, after.Bsize)
	}
}

// What is moved arrives as a whole, and takes nobody's place.
func TestMoveTree(t *testing.T) {
	base := t.TempDir()
	open := func(name string, mode os.FileMode) *os.File {
		t.Helper()
		at := filepath.Join(base, name)
		check(t, os.Mkdir(at, 0o700))
		check(t, os.Chmod(at, mode))
		f, err := os.Open(at)
		check(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	write := func(name, content string) {
		t.Helper()
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(base, name)), 0o755))
		check(t, os.WriteFile(filepath.Join(base, name), []byte(content), 0o600))
	}
	dst, src := open("dst", 0o700), open("src", 0o751)
	write("src/dir/f", "moved")
	write("src/there", "new")
	write("dst/there", "old")
	check(t, MoveTree(dst, src))
	for name, want := range map[string]string{"dst/dir/f": "moved", "dst/there": "old", "src/there": "new"} {
		if got, err := os.ReadFile(filepath.Join(base, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if info, err := dst.Stat(); err != nil || info.Mode().Perm() != 0o751 {
		t.Errorf("%v, %v", info, err)
	}
}
