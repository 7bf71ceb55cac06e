package volumes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/volume"
	"golang.org/x/sys/unix"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, root string) *Store {
	t.Helper()
	s, err := Open(Config{Root: root, Publish: func(events.Message) {}, Freeze: func(context.Context, []string) (func() error, error) { return func() error { return nil }, nil }, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(s.Close)
	return s
}

// swept waits until all that is no volume any more is deleted.
func swept(s *Store) *Store {
	s.catalog.sweeper.wait.Wait()
	return s
}

func names(t *testing.T, s *Store, f filters.Args) string {
	t.Helper()
	list, err := s.List(f)
	must(t, err)
	var out []string
	for _, v := range list {
		out = append(out, v.Name)
	}
	return strings.Join(out, " ")
}

// nothing is an image without the folder.
func nothing(p string) (*os.File, error) {
	return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrNotExist}
}

func TestStore(t *testing.T) {
	ctx, root := context.Background(), filepath.Join(t.TempDir(), "volumes")
	s := open(t, root)
	made, err := s.Create(ctx, volume.CreateRequest{Name: "data", Labels: map[string]string{"a": "1"}})
	must(t, err)
	if made.Name != "data" || made.Driver != "local" || made.Scope != "local" || made.Mountpoint != filepath.Join(root, "data/_data") || made.Options != nil {
		t.Errorf("%+v", made)
	}
	if at, err := time.Parse(time.RFC3339, made.CreatedAt); err != nil || time.Since(at) > time.Hour {
		t.Errorf("created at %s", made.CreatedAt)
	}
	must(t, os.WriteFile(filepath.Join(made.Mountpoint, "file"), []byte("x"), 0o600))
	again, err := s.Create(ctx, volume.CreateRequest{Name: "data", Labels: map[string]string{"b": "2"}})
	if must(t, err); again.Labels["a"] != "1" || len(again.Labels) != 1 {
		t.Errorf("an existing volume was changed: %+v", again)
	}
	anonymous, err := s.Create(ctx, volume.CreateRequest{})
	must(t, err)
	if _, ok := anonymous.Labels[AnonymousLabel]; !ok || len(anonymous.Name) != 64 {
		t.Errorf("%+v", anonymous)
	}

	s = open(t, root) // a restart
	read, err := s.Inspect("data")
	if must(t, err); read.CreatedAt != made.CreatedAt || read.Labels["a"] != "1" {
		t.Errorf("%+v, was %+v", read, made)
	}
	if got := names(t, s, nil); got != anonymous.Name+" data" && got != "data "+anonymous.Name {
		t.Errorf("list %q", got)
	}
	for filter, want := range map[string]string{"name=dat": "data", "name=^d.*a$": "data", "name=^ata": "", "name=*": "", "label=a=1": "data", "label=b": "", "driver=other": "", "name=x": ""} {
		k, v, _ := strings.Cut(filter, "=")
		if got := names(t, s, filters.Args{k: {v}}); got != want {
			t.Errorf("%s: %q", filter, got)
		}
	}
	if _, err := s.List(filters.Args{"magic": {"1"}}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("unknown filter: %v", err)
	}
	usage, err := s.Usage(ctx, "data")
	if must(t, err); usage.UsageData.Size < 4096 || usage.UsageData.RefCount != 0 {
		t.Errorf("%+v", usage.UsageData)
	}
	must(t, s.Remove(ctx, "data", false))
	if _, err := s.Inspect("data"); !errdefs.IsNotFound(err) || err.Error() != "get data: no such volume" {
		t.Errorf("inspect: %v", err)
	}
	if err := s.Remove(ctx, "data", false); !errdefs.IsNotFound(err) {
		t.Errorf("remove: %v", err)
	}
	must(t, s.Remove(ctx, "data", true))
	swept(s)
	if left, _ := os.ReadDir(root); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCreateRefuses(t *testing.T) {
	s := open(t, t.TempDir())
	for want, r := range map[string]volume.CreateRequest{
		"create x: volume name is too short, names should be at least two alphanumeric characters":                                                                                               {Name: "x"},
		`create ../x: "../x" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`:     {Name: "../x"},
		`create .new-x: ".new-x" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`: {Name: ".new-x"},
		"create " + strings.Repeat("v", 256) + ": volume name is too long, names should be at most 255 characters":                                                                               {Name: strings.Repeat("v", 256)},
		`create vv: invalid option: "magic"`:                   {Name: "vv", DriverOpts: map[string]string{"magic": "1"}},
		`create vv: missing required option: "type"`:           {Name: "vv", DriverOpts: map[string]string{"device": "/x"}},
		`create vv: missing required option: "device"`:         {Name: "vv", DriverOpts: map[string]string{"o": "ro"}},
		"create vv: quota size requested but no quota support": {Name: "vv", DriverOpts: map[string]string{"size": "10m"}},
	} {
		if _, err := s.Create(context.Background(), r); !errdefs.IsInvalidArgument(err) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	_, err := s.Create(context.Background(), volume.CreateRequest{Name: "vv", Driver: "nfs"})
	if !errdefs.IsNotFound(err) || err.Error() != `create vv: error looking up volume plugin nfs: plugin "nfs" not found` {
		t.Error(err)
	}
	if got := names(t, s, nil); got != "" {
		t.Errorf("made %q", got)
	}
}

func TestContainerLife(t *testing.T) {
	ctx, root := context.Background(), t.TempDir()
	s := open(t, root)
	source := filepath.Join(t.TempDir(), "made/by/v")
	cfg := &container.Config{Volumes: map[string]struct{}{"/anon": {}}}
	hc := &container.HostConfig{Binds: []string{"named:/named:ro", source + ":/bind"}, Tmpfs: map[string]string{"/t": ""}}
	must(t, s.Prepare(ctx, "c1", cfg, hc, nil, nothing))
	must(t, s.Prepare(ctx, "c2", cfg, hc, nil, nothing))
	points, err := s.Points("c1", cfg, hc, nil)
	must(t, err)
	if len(points) != 3 || points[0].Name != "named" || points[0].RW || points[0].Source != filepath.Join(root, "named/_data") ||
		points[1].Source != source || points[2].Destination != "/anon" || len(points[2].Name) != 64 || points[2].Driver != "local" {
		t.Errorf("%+v", points)
	}
	mounts, err := s.Mounts(ctx, "c1", cfg, hc, nil)
	must(t, err)
	if len(mounts) != 4 || mounts[0].Source != points[0].Source || !slices.Contains(mounts[0].Options, "ro") || mounts[2].Type != "tmpfs" || mounts[3].Source != points[2].Source {
		t.Errorf("%+v", mounts)
	}
	if info, err := os.Stat(source); err != nil || !info.IsDir() {
		t.Errorf("-v makes its source: %v", err)
	}
	err = s.Remove(ctx, "named", true)
	if !errdefs.IsConflict(err) || err.Error() != "remove named: volume is in use - [c1, c2]" {
		t.Errorf("remove: %v", err)
	}
	report, err := s.Prune(ctx, filters.Args{"all": {"1"}})
	if must(t, err); len(report.VolumesDeleted) != 0 {
		t.Errorf("pruned %v", report.VolumesDeleted)
	}

	s = open(t, root) // the daemon is killed; c1 runs
	must(t, s.Reserve("c1", cfg, hc, nil, true))
	must(t, s.Reserve("c2", cfg, hc, nil, false))
	must(t, s.Reconcile(ctx))
	if got := s.Users("named"); !slices.Equal(got, []string{"c1", "c2"}) {
		t.Errorf("users %v", got)
	}
	if got := names(t, s, filters.Args{"dangling": {"true"}}); got != "" {
		t.Errorf("dangling %q", got)
	}
	must(t, s.Unmount(ctx, "c1"))
	must(t, s.Release(ctx, "c1", true))
	if _, err := s.Inspect(points[2].Name); !errdefs.IsNotFound(err) {
		t.Errorf("the anonymous volume is still there: %v", err)
	}
	must(t, s.Release(ctx, "c2", false))
	if got := strings.Fields(names(t, s, filters.Args{"dangling": {"true"}})); len(got) != 2 {
		t.Errorf("dangling %q", got)
	}
	report, err = s.Prune(ctx, nil)
	if must(t, err); len(report.VolumesDeleted) != 1 || len(report.VolumesDeleted[0]) != 64 {
		t.Errorf("only anonymous volumes are pruned: %v", report.VolumesDeleted)
	}
	report, err = s.Prune(ctx, filters.Args{"all": {"true"}, "label!": {"keep"}})
	if must(t, err); !slices.Equal(report.VolumesDeleted, []string{"named"}) || report.SpaceReclaimed == 0 {
		t.Errorf("%+v", report)
	}
}

func TestPrepareUndoes(t *testing.T) {
	s := open(t, t.TempDir())
	_, err := s.Create(context.Background(), volume.CreateRequest{Name: "there"})
	must(t, err)
	hc := &container.HostConfig{Binds: []string{"there:/zero", "/one", "named:/two", "wanted:/wanted"}, Mounts: []mount.Mount{{Type: "volume", Source: "x", Target: "/three"}}}
	err = s.Prepare(context.Background(), "c1", &container.Config{}, hc, nil, func(p string) (*os.File, error) {
		if p == "/wanted" { // by somebody else, too, meanwhile
			_, err := s.Create(context.Background(), volume.CreateRequest{Name: "wanted"})
			must(t, err)
		}
		return nothing(p)
	})
	if !errdefs.IsInvalidArgument(err) {
		t.Fatal(err)
	}
	if got := names(t, s, nil); got != "there wanted" || len(s.Users("there")) != 0 || len(s.Users("wanted")) != 0 {
		t.Errorf("left %q, users %v and %v", got, s.Users("there"), s.Users("wanted"))
	}
	hc.Mounts = nil
	must(t, s.Prepare(context.Background(), "c2", &container.Config{}, hc, nil, nothing))
	must(t, s.Born("c2"))
	must(t, s.Release(context.Background(), "c2", true))
	if got := names(t, s, nil); got != "named there wanted" {
		t.Errorf("left %q by a container that was there", got)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	hc = &container.HostConfig{Mounts: []mount.Mount{{Type: "bind", Source: missing, Target: "/x"}}}
	_, err = s.Points("c1", &container.Config{}, hc, nil)
	if !errdefs.IsInvalidArgument(err) || err.Error() != `invalid mount config for type "bind": bind source path does not exist: `+missing {
		t.Error(err)
	}
	hc.Mounts[0].BindOptions = &mount.BindOptions{CreateMountpoint: true}
	must(t, s.Prepare(context.Background(), "c1", &container.Config{}, hc, nil, nothing))
	_, err = s.Mounts(context.Background(), "c1", &container.Config{}, hc, nil)
	must(t, err)
	must(t, os.Remove(missing))
	must(t, os.WriteFile(missing, nil, 0o600)) // a file can be mounted as well
	_, err = s.Mounts(context.Background(), "c1", &container.Config{}, hc, nil)
	must(t, err)
}

// What a kill leaves is swept at the next start; what is no volume stays.
func TestOpenSweeps(t *testing.T) {
	root := t.TempDir()
	for _, d := range []string{".new-x/_data/a", ".gone-y/_data", "whole/_data", "docker/_data/x", "torn", "broken/_data"} {
		must(t, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(root, "whole", metaFile), []byte(`{"Name":"whole","Driver":"local","Labels":{"a":"b"}}`), 0o600))
	must(t, os.WriteFile(filepath.Join(root, "broken", metaFile), []byte(`{"Name"`), 0o600))
	must(t, os.WriteFile(filepath.Join(root, "metadata.db"), nil, 0o600))
	s := swept(open(t, root))
	if got := names(t, s, nil); got != "docker whole" {
		t.Errorf("volumes %q", got)
	}
	var left []string
	entries, _ := os.ReadDir(root)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{"broken", "docker", "metadata.db", "torn", "whole"}; !slices.Equal(left, want) {
		t.Errorf("left %v", left)
	}
	// A folder that is no volume is nobody's to overwrite.
	if _, err := s.Create(context.Background(), volume.CreateRequest{Name: "torn"}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create over a folder: %v", err)
	}
}

func TestRemoveKeepsForeignMounts(t *testing.T) {
	s := open(t, t.TempDir())
	v, err := s.Create(context.Background(), volume.CreateRequest{Name: "data"})
	must(t, err)
	inside := filepath.Join(v.Mountpoint, "inside")
	must(t, os.Mkdir(inside, 0o755))
	must(t, unix.Mount("tmpfs", inside, "tmpfs", 0, ""))
	defer func() { must(t, unix.Unmount(inside, unix.MNT_DETACH)) }()
	must(t, os.WriteFile(filepath.Join(inside, "precious"), nil, 0o600))
	if err := s.Remove(context.Background(), "data", true); !errdefs.IsConflict(err) {
		t.Errorf("remove: %v", err)
	}
	if _, err := os.Stat(filepath.Join(inside, "precious")); err != nil {
		t.Error(err)
	}
	if _, err := s.Inspect("data"); err != nil {
		t.Errorf("a volume that cannot be removed is still there: %v", err)
	}
}

func TestConcurrent(t *testing.T) {
	ctx, s := context.Background(), open(t, t.TempDir())
	hc := &container.HostConfig{Binds: []string{"shared:/a", "/anon"}}
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			id := fmt.Sprint("c", i)
			for range 5 {
				if err := s.Prepare(ctx, id, &container.Config{}, hc, nil, nothing); err != nil {
					t.Errorf("prepare: %v", err)
				}
				if _, err := s.Mounts(ctx, id, &container.Config{}, hc, nil); err != nil {
					t.Errorf("mounts: %v", err)
				}
				if err := s.Release(ctx, id, true); err != nil {
					t.Errorf("release: %v", err)
				}
				if err := s.Remove(ctx, "shared", true); err != nil && !errdefs.IsConflict(err) {
					t.Errorf("remove: %v", err)
				}
			}
		})
	}
	all.Wait()
	must(t, s.Remove(ctx, "shared", true))
	swept(s)
	if left, _ := os.ReadDir(s.catalog.root); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if left, _ := os.ReadDir(filepath.Join(s.catalog.root, unbornDir)); len(left) != 0 {
		t.Errorf("notes left behind: %v", left)
	}
}

// TestCloseWhileSwept: what was not deleted when a daemon ended is by the next one, and
// neither waits for it.
func TestCloseWhileSwept(t *testing.T) {
	ctx, root := context.Background(), t.TempDir()
	s := open(t, root)
	s.catalog.sweeper.one <- struct{}{} // at work with another one
	v, err := s.Create(ctx, volume.CreateRequest{Name: "data"})
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(v.Mountpoint, "a/b"), 0o755))
	must(t, s.Remove(ctx, "data", false))
	if _, err := s.Inspect("data"); !errdefs.IsNotFound(err) {
		t.Errorf("a removed volume: %v", err)
	}
	if _, err := s.Create(ctx, volume.CreateRequest{Name: "data"}); err != nil {
		t.Errorf("its name is not free: %v", err)
	}
	s.Close()
	if left, _ := filepath.Glob(filepath.Join(root, gonePrefix+"*")); len(left) != 1 {
		t.Errorf("waiting to be deleted: %q", left)
	}
	s = swept(open(t, root))
	if left, _ := filepath.Glob(filepath.Join(root, gonePrefix+"*")); len(left) != 0 {
		t.Errorf("not deleted: %q", left)
	}
	if got := names(t, s, nil); got != "data" {
		t.Errorf("volumes %q", got)
	}
}
