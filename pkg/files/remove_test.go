package files

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRemoveTree(t *testing.T) {
	dir := t.TempDir()
	victim, root := filepath.Join(dir, "victim"), filepath.Join(dir, "root")
	must(t, os.Mkdir(victim, 0o755), os.WriteFile(filepath.Join(victim, "f"), []byte("stays"), 0o644))
	for i := range 40 {
		at := filepath.Join(root, strconv.Itoa(i%5), strconv.Itoa(i))
		must(t, os.MkdirAll(at, 0o755))
		for j := range 50 {
			must(t, os.WriteFile(filepath.Join(at, strconv.Itoa(j)), nil, 0o644))
		}
	}
	must(t, os.Symlink(victim, filepath.Join(root, "link")), os.Symlink(victim, filepath.Join(root, "0/link")), unix.Mkfifo(filepath.Join(root, "0/fifo"), 0o600))
	must(t, os.Link(filepath.Join(victim, "f"), filepath.Join(root, "hard")), os.Mkdir(filepath.Join(root, "deep-0"), 0o755))
	deepen(t, filepath.Join(root, "1"), 3000)
	must(t, RemoveTree(t.Context(), root))
	if _, err := os.Lstat(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the tree is there: %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(victim, "f")); string(b) != "stays" {
		t.Errorf("what a link leads to holds %q, %v", b, err)
	}
	if err := RemoveTree(t.Context(), root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing was removed: %v", err)
	}
}

// deepen nests folders, as deep as no path can name.
func deepen(t *testing.T, at string, levels int) {
	t.Helper()
	fd, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY, 0)
	for range levels {
		if err != nil {
			t.Fatal(err)
		}
		err = unix.Mkdirat(fd, "d", 0o755)
		next := -1
		if err == nil {
			next, err = unix.Openat(fd, "d", unix.O_PATH|unix.O_DIRECTORY, 0)
		}
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
}

// TestRemoveTreeMounted: what is mounted in it stays, and so does what it is mounted on.
func TestRemoveTreeMounted(t *testing.T) {
	dir := t.TempDir()
	root, on := filepath.Join(dir, "root"), filepath.Join(dir, "root/a/on")
	must(t, os.MkdirAll(on, 0o755), os.WriteFile(filepath.Join(root, "other"), nil, 0o644))
	must(t, unix.Mount("none", on, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(on, unix.MNT_DETACH) })
	must(t, os.WriteFile(filepath.Join(on, "f"), nil, 0o644))
	if err := RemoveTree(t.Context(), root); !errors.Is(err, unix.EBUSY) {
		t.Errorf("with a mount: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(on, "f")); err != nil {
		t.Errorf("a mounted file is gone: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(root, "other")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the rest was left: %v", err)
	}
	must(t, unix.Unmount(on, 0), RemoveTree(t.Context(), root))
}

func TestRemoveTreeEnds(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	must(t, os.MkdirAll(filepath.Join(root, "a"), 0o755))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := RemoveTree(ctx, root); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
