package snapref

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// store is containerd's metadata store above a snapshotter that copies.
func store(t *testing.T, with func(snapshots.Snapshotter) snapshots.Snapshotter) (context.Context, *metadata.DB, snapshots.Snapshotter, snapshots.Snapshotter) {
	t.Helper()
	dir := t.TempDir()
	files, err := native.NewSnapshotter(filepath.Join(dir, "native"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close(); db.Close() })
	meta := metadata.NewDB(db, nil, map[string]snapshots.Snapshotter{"native": with(files)})
	return namespaces.WithNamespace(context.Background(), "test"), meta, meta.Snapshotter("native"), files
}

// commit makes a snapshot.
func commit(ctx context.Context, t *testing.T, s snapshots.Snapshotter, name, parent string) {
	t.Helper()
	if _, err := s.Prepare(ctx, name+"-rw", parent); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(ctx, name, name+"-rw"); err != nil {
		t.Fatal(err)
	}
}

func count(ctx context.Context, t *testing.T, s snapshots.Snapshotter) (n int) {
	t.Helper()
	if err := s.Walk(ctx, func(context.Context, snapshots.Info) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// A snapshot with two names is one, stands on the second name of its parent, and is
// there until both are gone.
func TestAdopt(t *testing.T) {
	ctx, db, s, files := store(t, New)
	commit(ctx, t, s, "a", "")
	commit(ctx, t, s, "b", "a")
	for range 2 { // the second time it has the name
		for _, c := range []struct{ name, parent, chain string }{{"a", "", "chain-a"}, {"b", "chain-a", "chain-b"}} {
			if ok, err := Adopt(ctx, s, c.name, c.parent, c.chain); !ok || err != nil {
				t.Fatalf("%s: %v, %v", c.name, ok, err)
			}
		}
	}
	// What an image is to its snapshot, and BuildKit's lease to its own.
	for _, name := range []string{"a", "b", "chain-a", "chain-b"} {
		if _, err := s.Update(ctx, snapshots.Info{Name: name, Labels: map[string]string{"containerd.io/gc.root": "now"}}, "labels.containerd.io/gc.root"); err != nil {
			t.Fatal(err)
		}
	}
	if i, err := s.Stat(ctx, "chain-b"); err != nil || i.Parent != "chain-a" || i.Kind != snapshots.KindCommitted {
		t.Errorf("chain-b is %+v: %v", i, err)
	}
	if n := count(ctx, t, files); n != 2 {
		t.Errorf("%d snapshots, want 2", n)
	}
	for _, step := range []struct {
		remove []string
		left   int
	}{{[]string{"b", "a"}, 2}, {[]string{"chain-b"}, 1}, {[]string{"chain-a"}, 0}} {
		for _, name := range step.remove {
			if err := s.Remove(ctx, name); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.GarbageCollect(ctx); err != nil {
			t.Fatal(err)
		}
		if n := count(ctx, t, files); n != step.left {
			t.Errorf("without %q: %d snapshots, want %d", step.remove, n, step.left)
		}
	}
}

// What cannot be adopted is not, and leaves nothing behind: a snapshot of another
// parent, one that does not exist, or anything of a snapshotter that knows nothing of it.
func TestAdoptDeclined(t *testing.T) {
	as := func(s snapshots.Snapshotter) snapshots.Snapshotter { return s }
	for name, with := range map[string]func(snapshots.Snapshotter) snapshots.Snapshotter{"ours": New, "another": as} {
		ctx, _, s, _ := store(t, with)
		commit(ctx, t, s, "a", "")
		commit(ctx, t, s, "other", "")
		commit(ctx, t, s, "b", "a")
		if ok, err := Adopt(ctx, s, "b", "other", "chain"); ok || err != nil {
			t.Errorf("%s: another parent: %v, %v", name, ok, err)
		}
		if ok, err := Adopt(ctx, s, "none", "", "chain"); ok || !errdefs.IsNotFound(err) {
			t.Errorf("%s: no snapshot: %v, %v", name, ok, err)
		}
		if ok, err := Adopt(ctx, s, "a", "", "chain-a"); ok != (name == "ours") || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
		if n, want := count(ctx, t, s), map[string]int{"ours": 4, "another": 3}[name]; n != want {
			t.Errorf("%s: %d names, want %d", name, n, want)
		}
	}
}

// An image that is unpacked passes the label too and is not given what was built.
func TestUnpackingIsNotAdopting(t *testing.T) {
	ctx, _, s, _ := store(t, New)
	commit(ctx, t, s, "a", "")
	if _, err := s.Update(ctx, snapshots.Info{Name: "a", Labels: map[string]string{snapshots.LabelSnapshotRef: "chain"}}); err != nil {
		t.Fatal(err)
	}
	var mounts []mount.Mount
	mounts, err := s.Prepare(ctx, "extract", "", snapshots.WithLabels(map[string]string{snapshots.LabelSnapshotRef: "chain"}))
	if err != nil || len(mounts) == 0 {
		t.Errorf("%v, %v", mounts, err)
	}
}
