package volumes

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/volume"
	"golang.org/x/sys/unix"
)

func export(t *testing.T, s *Store, name string) []byte {
	t.Helper()
	var out bytes.Buffer
	must(t, s.Backups().Export(t.Context(), name, false, func() (io.Writer, error) { return &out, nil }))
	return out.Bytes()
}

// filled makes a volume with a tree of all kinds in it.
func filled(t *testing.T, s *Store, name string) string {
	t.Helper()
	v, err := s.Create(t.Context(), volume.CreateRequest{Name: name})
	must(t, err)
	out, err := exec.Command("cp", "-a", sourceTree(t)+"/.", v.Mountpoint).CombinedOutput()
	if err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	return v.Mountpoint
}

func TestExportImport(t *testing.T) {
	ctx := t.Context()
	s := open(t, filepath.Join(t.TempDir(), "volumes"))
	b := s.Backups()
	src := filled(t, s, "data")
	stream := export(t, s, "data")
	if len(stream) > 1<<20 {
		t.Errorf("a stream of %d bytes: holes are in it", len(stream))
	}
	made, err := b.Import(ctx, "copy", false, bytes.NewReader(stream))
	must(t, err)
	checkCopy(t, src, made.Mountpoint)
	if _, err := b.Import(ctx, "copy", false, bytes.NewReader(stream)); !errdefs.IsConflict(err) {
		t.Errorf("into one that is not empty: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(made.Mountpoint, "more"), nil, 0o600))
	_, err = b.Import(ctx, "copy", true, bytes.NewReader(stream))
	must(t, err)
	if _, err := os.Stat(filepath.Join(made.Mountpoint, "more")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("replaced: %v", err)
	}
	checkCopy(t, src, made.Mountpoint)
	_, err = s.Create(ctx, volume.CreateRequest{Name: "empty"})
	must(t, err)
	if _, err = b.Import(ctx, "empty", false, bytes.NewReader(stream)); err != nil {
		t.Errorf("into an empty one: %v", err)
	}
	// Of what is broken nothing is left.
	for name, content := range map[string]string{"no tar": strings.Repeat("x", 2000), "cut": string(stream[:len(stream)/2]), "gzip": "\x1f\x8bx"} {
		if _, err := b.Import(ctx, "broken", false, strings.NewReader(content)); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := b.Import(ctx, "copy", true, strings.NewReader(content)); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := names(t, s, nil); got != "copy data empty" {
		t.Errorf("volumes %s", got)
	}
	checkCopy(t, src, made.Mountpoint)
	if _, err := b.Import(ctx, "../x", false, bytes.NewReader(stream)); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a bad name: %v", err)
	}
	if err := b.Export(ctx, "none", false, nil); !errdefs.IsNotFound(err) {
		t.Errorf("none: %v", err)
	}
	nothingStaged(t, s)
}

func nothingStaged(t *testing.T, s *Store) {
	t.Helper()
	swept(s)
	entries, err := os.ReadDir(s.catalog.root)
	must(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), newPrefix) || strings.HasPrefix(e.Name(), gonePrefix) {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

// A volume that a running container has is not replaced under its feet.
func TestImportInUse(t *testing.T) {
	ctx := t.Context()
	s := open(t, filepath.Join(t.TempDir(), "volumes"))
	filled(t, s, "data")
	stream := export(t, s, "data")
	hc := &container.HostConfig{Binds: []string{"data:/d"}}
	must(t, s.Prepare(ctx, "c", &container.Config{}, hc, nil, nothing))
	_, err := s.Mounts(ctx, "c", &container.Config{}, hc, nil)
	must(t, err)
	if _, err := s.Backups().Import(ctx, "data", true, bytes.NewReader(stream)); !errdefs.IsConflict(err) {
		t.Error(err)
	}
	must(t, s.Unmount(ctx, "c"))
	_, err = s.Backups().Import(ctx, "data", true, bytes.NewReader(stream))
	must(t, err)
}

// A full disk gives a clear error and leaves no half volume.
func TestImportToFullDisk(t *testing.T) {
	root := t.TempDir()
	must(t, unix.Mount("tmpfs", root, "tmpfs", 0, "size=4m"))
	t.Cleanup(func() { must(t, unix.Unmount(root, unix.MNT_DETACH)) })
	ctx, s := t.Context(), open(t, filepath.Join(root, "volumes"))
	big := open(t, filepath.Join(t.TempDir(), "volumes"))
	v, err := big.Create(ctx, volume.CreateRequest{Name: "big"})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(v.Mountpoint, "first"), []byte("x"), 0o600))
	must(t, os.WriteFile(filepath.Join(v.Mountpoint, "large"), make([]byte, 8<<20), 0o600))
	stream := export(t, big, "big")
	var before, after unix.Statfs_t
	must(t, unix.Statfs(root, &before))
	if _, err := s.Backups().Import(ctx, "data", false, bytes.NewReader(stream)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("import: %v", err)
	}
	// Copy-up, too: the image's folder is larger than the disk.
	hc := &container.HostConfig{Binds: []string{"new:/d"}}
	err = s.Prepare(ctx, "c", &container.Config{}, hc, nil, func(string) (*os.File, error) { return os.Open(v.Mountpoint) })
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("copy-up: %v", err)
	}
	must(t, s.Remove(ctx, "new", true)) // it was asked for by name, and is empty
	if got := names(t, s, nil); got != "" {
		t.Errorf("volumes %s", got)
	}
	nothingStaged(t, s)
	if must(t, unix.Statfs(root, &after)); before.Bfree > after.Bfree+1 {
		t.Errorf("%d blocks were free, now %d", before.Bfree, after.Bfree)
	}
}

func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	image, at := filepath.Join(dir, "image"), filepath.Join(dir, "at")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 320<<20))
	must(t, os.Mkdir(at, 0o755))
	for _, c := range [][]string{{"mkfs.btrfs", "-q", image}, {"mount", "-o", "loop", image, at}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", c, err, out)
		}
	}
	t.Cleanup(func() { must(t, unix.Unmount(at, unix.MNT_DETACH)) })
	ctx, s := t.Context(), open(t, filepath.Join(at, "volumes"))
	b := s.Backups()
	src := filled(t, s, "data")
	made, err := b.Snapshot(ctx, "data", "before", true)
	must(t, err)
	if made.Labels[SnapshotLabel] != "data" || made.Name != "before" {
		t.Errorf("%+v", made)
	}
	checkCopy(t, src, made.Mountpoint)
	if _, err := b.Snapshot(ctx, "data", "before", false); !errdefs.IsAlreadyExists(err) {
		t.Errorf("a second one: %v", err)
	}
	must(t, os.RemoveAll(filepath.Join(src, "sub")))
	must(t, os.WriteFile(filepath.Join(src, "since"), nil, 0o600))
	must(t, b.Restore(ctx, "data", "before"))
	checkCopy(t, made.Mountpoint, src)
	if _, err := os.Stat(filepath.Join(src, "since")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what came since: %v", err)
	}
	for _, err := range []error{b.Restore(ctx, "none", "before"), b.Restore(ctx, "data", "none")} {
		if !errdefs.IsNotFound(err) {
			t.Error(err)
		}
	}
	if _, err := b.Snapshot(ctx, "data", "../x", false); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a bad name: %v", err)
	}
	nothingStaged(t, s)
}

// Where blocks cannot be shared, that is said and nothing is copied.
func TestSnapshotWithoutReflinks(t *testing.T) {
	root := t.TempDir()
	must(t, unix.Mount("tmpfs", root, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(root, unix.MNT_DETACH)) })
	s := open(t, filepath.Join(root, "volumes"))
	filled(t, s, "data")
	if _, err := s.Backups().Snapshot(t.Context(), "data", "before", false); !errdefs.IsNotImplemented(err) || !strings.Contains(err.Error(), "reflinks") {
		t.Error(err)
	}
	if got := names(t, s, nil); got != "data" {
		t.Errorf("volumes %s", got)
	}
	nothingStaged(t, s)
}
