package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
)

// writableOverlay is a snapshot on top of two layers; it gives its upper folder, too.
func writableOverlay(t *testing.T) ([]mount.Mount, string) {
	t.Helper()
	base := t.TempDir()
	at := func(name string) string { return filepath.Join(base, name) }
	write(t, at("1/image"), "image")
	write(t, at("2/image"), "below")
	for _, dir := range []string{"1/d", "upper", "work"} {
		if err := os.MkdirAll(at(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return []mount.Mount{{Type: "overlay", Options: []string{
		"index=off", "workdir=" + at("work"), "upperdir=" + at("upper"), "lowerdir=" + at("1") + ":" + at("2"),
	}}}, at("upper")
}

func put(r *Root, name, content string) error {
	dir, err := r.OpenDir(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	fd, err := unix.Openat(int(dir.Fd()), filepath.Base(name), unix.O_CREAT|unix.O_WRONLY|unix.O_TRUNC|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}

func TestView(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "secret"), "secret")
	volume, nested, file := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "hosts")
	write(t, filepath.Join(volume, "in"), "volume")
	write(t, filepath.Join(nested, "in"), "nested")
	write(t, file, "hosts")
	snapshot, upper := writableOverlay(t)
	for link, target := range map[string]string{"link": "/d", "climb": "../../../../../.." + outside} {
		if err := os.Symlink(target, filepath.Join(upper, link)); err != nil {
			t.Fatal(err)
		}
	}
	table, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	r, err := View("/no/such/mount", snapshot, []Mount{
		{Source: nested, Destination: "/vol/sub/nested", ReadOnly: true}, // before what it is under
		{Source: volume, Destination: "/vol", Recursive: true},
		{Source: volume, Destination: "/link"},
		{Source: volume, Destination: "/climb/x"},
		{Source: file, Destination: "/etc/hosts"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, want := range map[string]string{
		"/image": "image", "/vol/in": "volume", "/vol/sub/nested/in": "nested", "/d/in": "volume", "/link/in": "volume",
		outside + "/x/in": "volume", "/etc/hosts": "hosts",
	} {
		if got, err := r.ReadFile(name, 10); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if err := errors.Join(put(r, "/new", "new"), put(r, "/vol/new", "new")); err != nil {
		t.Error(err)
	}
	if err := put(r, "/vol/sub/nested/new", "new"); !errors.Is(err, unix.EROFS) {
		t.Errorf("a read-only mount was written to: %v", err)
	}
	for _, name := range []string{filepath.Join(upper, "new"), filepath.Join(volume, "new")} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside: %v, %v", entries, err)
	}
	if entries, err := os.ReadDir(filepath.Join(volume, "sub/nested")); err != nil || len(entries) != 0 {
		t.Errorf("the host sees the mount in the volume: %v, %v", entries, err)
	}
	// Others mount, too, meanwhile. Of this thread: the first one of the process may have been
	// the one that was in the namespace of the mounts.
	ours := filepath.Dir(outside)
	if now, err := os.ReadFile("/proc/thread-self/mountinfo"); err != nil || strings.Contains(string(now), outside) || strings.Count(string(now), ours) != strings.Count(string(table), ours) {
		t.Errorf("the host sees the mounts (%v)", err)
	}
}

// Both ways to mount a writable overlay show and change the same.
func TestWritableOverlay(t *testing.T) {
	for name, mount := range map[string]func(overlay) (*Root, error){"fsmount": fsmountOverlay, "thread": threadOverlay} {
		t.Run(name, func(t *testing.T) {
			snapshot, upper := writableOverlay(t)
			r, err := mount(parseOverlay(snapshot[0].Options))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got, err := r.ReadFile("/image", 10); err != nil || string(got) != "image" {
				t.Errorf("%q, %v", got, err)
			}
			if err := put(r, "/new", "new"); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(upper, "new")); err != nil {
				t.Error(err)
			}
		})
	}
}

// A container that exchanges a mount's place for a link to the host while the view is
// made gets neither a file made there (CVE-2026-41568) nor a mount (CVE-2026-42306).
func TestViewOfSwappedPlaces(t *testing.T) {
	outside, volume := t.TempDir(), t.TempDir()
	write(t, filepath.Join(volume, "in"), "volume")
	snapshot, _ := writableOverlay(t)
	container := t.TempDir() // where the container has its root
	if err := unix.Mount("overlay", container, "overlay", 0, strings.Join(snapshot[0].Options, ",")); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(container, name) }
	if err := errors.Join(os.Mkdir(at("p"), 0o755), os.Symlink(outside, at("abs")), os.Symlink("../../../../../.."+outside, at("up"))); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var running sync.WaitGroup
	for _, link := range []string{"abs", "up"} {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = unix.Renameat2(unix.AT_FDCWD, at("p"), unix.AT_FDCWD, at(link), unix.RENAME_EXCHANGE)
				}
			}
		})
	}
	defer func() {
		close(stop)
		running.Wait()
		if err := unix.Unmount(container, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	for range 200 {
		r, err := View(container, snapshot, []Mount{{Source: volume, Destination: "/p/made/here"}, {Source: filepath.Join(volume, "in"), Destination: "/p/file"}})
		if err == nil {
			r.Close()
		} else if !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) && !errors.Is(err, unix.EAGAIN) {
			t.Errorf("view: %v", err)
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 0 {
		t.Errorf("outside of the container: %v, %v", entries, err)
	}
}
