package runtime

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
)

// The folder of a snapshot whose number was never committed stands in nobody's way.
func TestSetAside(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "snapshots")
	open := func() (snapshots.Snapshotter, *storage.MetaStore) {
		meta, err := storage.NewMetaStore(filepath.Join(root, "metadata.db"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := overlay.NewSnapshotter(root, overlay.WithMetaStore(meta))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s, meta
	}
	s, meta := open()
	if err := setAside(t.Context(), meta, dir); err != nil {
		t.Fatal("of none:", err)
	}
	if _, err := s.Prepare(t.Context(), "kept", ""); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		// As a kill between the two leaves it.
		if err := os.MkdirAll(filepath.Join(dir, "2", "fs", "full"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Prepare(t.Context(), "next", ""); err == nil {
			t.Fatal("the folder is in nobody's way: the test tests nothing")
		}
		if err := setAside(t.Context(), meta, dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Prepare(t.Context(), "next", ""); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"kept", "next"} {
		mounts, err := s.Mounts(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(mounts[0].Source); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := s.(snapshots.Cleaner).Cleanup(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("%v: %v", left, err)
	}
}
