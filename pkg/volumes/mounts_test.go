package volumes

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/volume"
	"golang.org/x/sys/unix"
)

func mounted(t *testing.T, p string) bool {
	t.Helper()
	on, err := isMountpoint(p)
	must(t, err)
	return on
}

// A volume with a device is mounted by its first container and unmounted after
// its last.
func TestDevice(t *testing.T) {
	ctx, root := context.Background(), t.TempDir()
	s := open(t, root)
	v, err := s.Create(ctx, volume.CreateRequest{Name: "ram", DriverOpts: map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=1000,nosuid,ro,rw"}})
	must(t, err)
	t.Cleanup(func() { _ = unix.Unmount(v.Mountpoint, unix.MNT_DETACH) }) // of a test that failed
	cfg, hc := &container.Config{}, &container.HostConfig{Binds: []string{"ram:/a"}}
	image := t.TempDir()
	must(t, os.WriteFile(filepath.Join(image, "of-image"), nil, 0o600))
	must(t, s.Prepare(ctx, "c1", cfg, hc, nil, func(string) (*os.File, error) { return os.Open(image) }))
	if mounted(t, v.Mountpoint) {
		t.Error("mounted before a container starts")
	}
	for _, id := range []string{"c1", "c2", "c1"} {
		_, err = s.Mounts(ctx, id, cfg, hc, nil)
		must(t, err)
	}
	var st unix.Statfs_t
	must(t, unix.Statfs(v.Mountpoint, &st))
	if st.Type != unix.TMPFS_MAGIC || st.Blocks*uint64(st.Bsize) != 1<<20 || st.Flags&unix.ST_NOSUID == 0 || st.Flags&unix.ST_RDONLY != 0 {
		t.Errorf("%+v", st)
	}
	must(t, s.Unmount(ctx, "c1"))
	if !mounted(t, v.Mountpoint) {
		t.Error("unmounted under a container")
	}

	s = open(t, root) // the daemon is killed; c2 runs
	must(t, s.Reserve("c2", cfg, hc, nil, true))
	must(t, s.Reconcile(ctx))
	if !mounted(t, v.Mountpoint) {
		t.Error("unmounted under a container at boot")
	}
	s = open(t, root) // killed again; c2 has ended meanwhile
	must(t, s.Reserve("c2", cfg, hc, nil, false))
	must(t, s.Reconcile(ctx))
	if mounted(t, v.Mountpoint) {
		t.Error("still mounted")
	}
	must(t, s.Release(ctx, "c2", false))
	must(t, s.Remove(ctx, "ram", false))
}

func TestDeviceBind(t *testing.T) {
	ctx, s, dir := context.Background(), open(t, t.TempDir()), t.TempDir()
	_, err := s.Create(ctx, volume.CreateRequest{Name: "dir", DriverOpts: map[string]string{"type": "none", "device": dir, "o": "bind,ro"}})
	must(t, err)
	hc := &container.HostConfig{Binds: []string{"dir:/a:nocopy"}}
	mounts, err := s.Mounts(ctx, "c1", &container.Config{}, hc, nil)
	must(t, err)
	if err := os.WriteFile(filepath.Join(mounts[0].Source, "x"), nil, 0o600); err == nil {
		t.Error("ro has no effect")
	}
	must(t, s.Unmount(ctx, "c1"))
	must(t, s.Release(ctx, "c1", true))
	must(t, s.Remove(ctx, "dir", false))
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the device went with the volume: %v", err)
	}

	_, err = s.Create(ctx, volume.CreateRequest{Name: "bad", DriverOpts: map[string]string{"type": "none", "device": "/nonexistent/device", "o": "bind"}})
	must(t, err)
	want := "error while mounting volume '" + s.catalog.root + "/bad/_data': failed to mount local volume: mount /nonexistent/device:" + s.catalog.root + "/bad/_data, flags: 0x1000: no such file or directory"
	if _, err = s.Mounts(ctx, "c1", &container.Config{}, &container.HostConfig{Binds: []string{"bad:/a"}}, nil); err == nil || err.Error() != want {
		t.Errorf("a device that is not there: %v, want %s", err, want)
	}
	if got := s.catalog.usedBy("c1"); len(got) != 0 {
		t.Error("a failed start left a volume in use")
	}
}

func TestSubpath(t *testing.T) {
	ctx, root := context.Background(), t.TempDir()
	s := open(t, root)
	v, err := s.Create(ctx, volume.CreateRequest{Name: "data"})
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(v.Mountpoint, "a/b"), 0o755))
	must(t, os.WriteFile(filepath.Join(v.Mountpoint, "a/b/file"), []byte("x"), 0o644))
	must(t, os.Symlink("/etc", filepath.Join(v.Mountpoint, "outside")))
	must(t, os.Symlink("a/b", filepath.Join(v.Mountpoint, "inside")))
	sub := func(p string) *container.HostConfig {
		return &container.HostConfig{Mounts: []mount.Mount{{Type: "volume", Source: "data", Target: "/x", VolumeOptions: &mount.VolumeOptions{Subpath: p}}}}
	}
	for _, bad := range []string{"outside", "outside/passwd", "none"} {
		if _, err := s.Mounts(ctx, "c1", &container.Config{}, sub(bad), nil); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, good := range []string{"a/b", "inside", "a/b/file"} {
		mounts, err := s.Mounts(ctx, "c1", &container.Config{}, sub(good), nil)
		must(t, err)
		file := mounts[0].Source
		if filepath.Base(good) != "file" {
			file = filepath.Join(file, "file")
		}
		if content, err := os.ReadFile(file); string(content) != "x" {
			t.Errorf("%s: %q, %v", good, content, err)
		}
		must(t, s.Unmount(ctx, "c1"))
		if _, err := os.Lstat(mounts[0].Source); err == nil {
			t.Errorf("%s is left behind", mounts[0].Source)
		}
	}
	_, err = s.Mounts(ctx, "c1", &container.Config{}, sub("a"), nil)
	must(t, err)
	s = open(t, root) // killed; the container has ended meanwhile
	must(t, s.Reserve("c1", &container.Config{}, sub("a"), nil, false))
	must(t, s.Reconcile(ctx))
	if left, _ := os.ReadDir(filepath.Join(root, placesDir)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := os.Stat(filepath.Join(v.Mountpoint, "a/b/file")); err != nil {
		t.Error(err)
	}
}

func TestPropagation(t *testing.T) {
	ctx, s, dir := context.Background(), open(t, t.TempDir()), t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
	start := func(mode string) error {
		_, err := s.Mounts(ctx, "c1", &container.Config{}, &container.HostConfig{Binds: []string{filepath.Join(dir, "sub") + ":/x:" + mode}}, nil)
		return err
	}
	must(t, unix.Mount("", dir, "", unix.MS_PRIVATE, ""))
	want := "path " + dir + "/sub is mounted on " + dir + " but it is not a shared mount"
	if err := start("rshared"); !errdefs.IsInvalidArgument(err) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := start("slave"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("slave of a private mount: %v", err)
	}
	must(t, start("rprivate"))
	must(t, unix.Mount("", dir, "", unix.MS_SHARED, ""))
	must(t, start("rshared"))
	must(t, start("rslave"))
}

// A bind around the data root that names no propagation has what its source allows.
func TestPropagationByDefault(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	data := filepath.Join(dir, "data")
	must(t, os.Mkdir(data, 0o755))
	s, err := Open(Config{Root: filepath.Join(data, "volumes"), DataRoot: data, Publish: func(events.Message) {}, Logger: slog.Default()})
	must(t, err)
	for _, c := range []struct {
		of   uintptr
		want string
	}{{unix.MS_PRIVATE, "rprivate"}, {unix.MS_SHARED, "rslave"}} {
		must(t, unix.Mount("", dir, "", c.of, ""))
		hc := &container.HostConfig{Binds: []string{dir + ":/x"}}
		got, err := s.Mounts(ctx, "c1", &container.Config{}, hc, nil)
		if must(t, err); !slices.Contains(got[0].Options, c.want) {
			t.Errorf("%v, want %s", got[0].Options, c.want)
		}
		if points, err := s.Points("c1", &container.Config{}, hc, nil); err != nil || points[0].Propagation != mount.PropagationRSlave {
			t.Errorf("%+v, %v", points, err)
		}
	}
}

// Images are mounted as they are, or a path in them; links lead nowhere else, and
// nothing is left of it after the container, a failure or a kill.
func TestImageMounts(t *testing.T) {
	ctx, root := context.Background(), t.TempDir()
	image := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(image, "etc"), 0o755))
	must(t, os.WriteFile(filepath.Join(image, "etc/file"), []byte("of the image"), 0o600))
	must(t, os.Symlink("/", filepath.Join(image, "out")))
	must(t, os.Symlink("etc", filepath.Join(image, "in")))
	asked := -1
	reopen := func() *Store {
		s, err := Open(Config{Root: root, Publish: func(events.Message) {}, Logger: slog.Default(), Images: func(_ context.Context, _ string, n int) (*os.File, error) {
			asked = n
			fd, err := unix.OpenTree(unix.AT_FDCWD, image, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
			return os.NewFile(uintptr(fd), image), err
		}})
		must(t, err)
		return s
	}
	s := reopen()
	with := func(subs ...string) *container.HostConfig {
		hc := &container.HostConfig{Binds: []string{image + ":/bind"}}
		for i, sub := range subs {
			hc.Mounts = append(hc.Mounts, mount.Mount{Type: mount.TypeImage, Source: "busybox", Target: "/i" + strconv.Itoa(i), ImageOptions: &mount.ImageOptions{Subpath: sub}})
		}
		return hc
	}
	left := func() int {
		entries, err := os.ReadDir(filepath.Join(root, placesDir))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return len(entries)
	}
	hc := with("", "etc", "in/file")
	points, err := s.Points("c1", &container.Config{}, hc, nil)
	must(t, err)
	got, err := s.Mounts(ctx, "c1", &container.Config{}, hc, nil)
	must(t, err)
	if asked != 2 || len(got) != 4 {
		t.Fatalf("image %d was asked for last, %d mounts", asked, len(got))
	}
	for i, file := range []string{"/etc/file", "/file", ""} {
		m, p := got[i+1], points[i+1]
		content, err := os.ReadFile(m.Source + file)
		if err != nil || string(content) != "of the image" || m.Type != "bind" || !slices.Equal(m.Options, []string{"rbind", "rprivate", "ro"}) {
			t.Errorf("%+v: %q, %v", m, content, err)
		}
		if p.Type != mount.TypeImage || p.Name != "busybox" || p.Source != m.Source || p.RW || p.Mode != "" || p.Driver != "" || p.Propagation != "" {
			t.Errorf("inspected as %+v", p)
		}
	}
	_, back, err := s.Borrow(ctx, "c1", &container.Config{}, hc, nil)
	must(t, err)
	must(t, back())
	s = reopen() // killed; the container runs
	must(t, s.Reserve("c1", &container.Config{}, hc, nil, true))
	must(t, s.Reconcile(ctx))
	if !mounted(t, got[1].Source) {
		t.Error("unmounted under a container")
	}
	must(t, s.Unmount(ctx, "c1"))
	if left() != 0 {
		t.Error("left after the container")
	}
	for sub, words := range map[string]string{
		"no": "cannot access path busybox/no", "etc/file/x": "cannot access path busybox/etc/file/x",
		"out/etc": "path concatenation escapes the base directory, base: busybox, subpath: out/etc",
	} {
		if _, err := s.Mounts(ctx, "c1", &container.Config{}, with("", sub), nil); !errdefs.IsInvalidArgument(err) || !strings.HasPrefix(err.Error(), words) || left() != 0 {
			t.Errorf("%s: %v, %d left", sub, err, left())
		}
	}
	_, err = s.Mounts(ctx, "c1", &container.Config{}, hc, nil)
	must(t, err)
	s = reopen() // killed; the container has ended meanwhile
	must(t, s.Reserve("c1", &container.Config{}, hc, nil, false))
	must(t, s.Reconcile(ctx))
	if left() != 0 {
		t.Error("left after a kill")
	}
}

func TestReadonlyBinds(t *testing.T) {
	s, dir := open(t, t.TempDir()), t.TempDir()
	for name, c := range map[string]struct {
		options *mount.BindOptions
		want    []string
	}{
		"default":               {nil, []string{"rbind", "rprivate", "ro", "rro"}},
		"readonly-nonrecursive": {&mount.BindOptions{ReadOnlyNonRecursive: true}, []string{"rbind", "rprivate", "ro"}},
		"nonrecursive":          {&mount.BindOptions{NonRecursive: true}, []string{"bind", "rprivate", "ro"}},
		"forced":                {&mount.BindOptions{ReadOnlyForceRecursive: true}, []string{"rbind", "rprivate", "ro", "rro"}},
	} {
		hc := &container.HostConfig{Mounts: []mount.Mount{{Type: "bind", Source: dir, Target: "/x", ReadOnly: true, BindOptions: c.options}}}
		got, err := s.Mounts(context.Background(), "c1", &container.Config{}, hc, nil)
		if must(t, err); !slices.Equal(got[0].Options, c.want) {
			t.Errorf("%s: %v", name, got[0].Options)
		}
	}
}

func TestMountOptions(t *testing.T) {
	for options, want := range map[string]struct {
		flags uintptr
		data  string
	}{
		"": {}, "rw": {}, "ro,size=1m,noexec,uid=5": {unix.MS_RDONLY | unix.MS_NOEXEC, "size=1m,uid=5"}, "ro,rw,rbind": {unix.MS_BIND | unix.MS_REC, ""},
		"defaults,addr=1.2.3.4,vers=4": {0, "addr=1.2.3.4,vers=4"},
	} {
		if flags, data := mountFlags(options); flags != want.flags || data != want.data {
			t.Errorf("%q: %#x %q", options, flags, data)
		}
	}
	lookup := func(_ context.Context, _, host string) ([]netip.Addr, error) {
		if host == "nas" {
			return []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.9")}, nil
		}
		return nil, &os.PathError{Op: "lookup", Path: host, Err: os.ErrNotExist}
	}
	for _, c := range []struct{ kind, device, options, wantDevice, wantOptions string }{
		{"nfs", ":/x", "rw,addr=nas", ":/x", "rw,addr=10.0.0.9"},
		{"nfs4", ":/x", "addr=10.1.1.1", ":/x", "addr=10.1.1.1"},
		{"cifs", "//nas/share", "user=u", "//10.0.0.9/share", "user=u"},
		{"cifs", "//nas/share", "addr=nas", "//nas/share", "addr=10.0.0.9"},
		{"tmpfs", "nas", "addr=nas", "nas", "addr=nas"},
	} {
		device, options, err := resolveHosts(context.Background(), c.kind, c.device, c.options, lookup)
		if must(t, err); device != c.wantDevice || options != c.wantOptions {
			t.Errorf("%+v: %s %s", c, device, options)
		}
	}
	if _, _, err := resolveHosts(context.Background(), "nfs", ":/x", "addr=gone", lookup); err == nil {
		t.Error("an unknown host")
	}
	if got := redact("user=u,password=secret,pass=x"); got != "user=u,password=********,pass=********" {
		t.Error(got)
	}
}
