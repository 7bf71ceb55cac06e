package main

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestEmptyTemp leaves alone what is mounted in the folder, and links out of it.
func TestEmptyTemp(t *testing.T) {
	root := t.TempDir()
	other := filepath.Join(root, "layer")
	dir := filepath.Join(root, "data", "tmp")
	mounted := filepath.Join(dir, "mount1", "deep er")
	for _, d := range []string{other, mounted} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	kept := filepath.Join(other, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // one on top of the other
		if err := unix.Mount(other, mounted, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	through := filepath.Join(root, "alias") // a data root that is reached by a link
	if err := os.Symlink(filepath.Join(root, "data"), through); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing
		if err := emptyTemp(filepath.Join(through, "tmp")); err != nil {
			t.Fatal(err)
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := emptyTemp(dir); err != nil { // of a new data root
		t.Error(err)
	}
}
