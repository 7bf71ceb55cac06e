package contents

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "": "/", ".": "/.", "/.": "/.", "a": "/a", "/a/": "/a/", "/a/.": "/a/.", "a/../b": "/b", "../../etc": "/etc", "/a//b/./": "/a/b/.", "./": "/.", "/./": "/.", "/a/..": "/",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWritable(t *testing.T) {
	record := func(readonly bool) *container.Record {
		return &container.Record{
			HostConfig: &ctypes.HostConfig{ReadonlyRootfs: readonly},
			Mounts: []ctypes.MountPoint{
				{Destination: "/v", RW: true}, {Destination: "/v/ro/"}, {Destination: "/v/ro/rw", RW: true}, {Destination: "/ro"},
			},
		}
	}
	const rootfs, volume = "container rootfs is marked read-only", "mounted volume is marked read-only"
	for at, want := range map[string]string{
		"/": rootfs, "/x": rootfs, "/vv": rootfs, "/v": "", "/v/x": "", "/v/ro": volume, "/v/ro/x": volume, "/v/ro/rw/x": "", "/ro": volume, "/roo": rootfs,
	} {
		err := writable(record(true), at)
		if want == "" && err != nil || want != "" && (!errdefs.IsInvalidArgument(err) || err.Error() != want) {
			t.Errorf("%s: %v, want %q", at, err, want)
		}
		if err := writable(record(false), at); (err != nil) != (want == volume) {
			t.Errorf("%s in a root that is not read-only: %v", at, err)
		}
	}
}

func TestHidden(t *testing.T) {
	for _, c := range []struct {
		name string
		mode fs.FileMode
		size int64
		want bool
	}{
		{"/.dockerenv", 0o755, 0, true}, {"/.dockerenv", 0o755, 1, false}, {"/etc/hosts", 0o644, 0, true}, {"/etc/hosts", fs.ModeDir, 0, false},
		{"/proc", fs.ModeDir | 0o755, 4096, true}, {"/etc/mtab", fs.ModeSymlink, 12, true}, {"/etc/passwd", 0o644, 0, false}, {"/data", fs.ModeDir, 0, false},
	} {
		if got := hidden(c.name, c.mode, c.size); got != c.want {
			t.Errorf("%s %v of %d bytes: %v", c.name, c.mode, c.size, got)
		}
	}
}

func TestMissing(t *testing.T) {
	path := func(err error) error { return &fs.PathError{Op: "lstat", Path: "/x", Err: err} }
	for _, c := range []struct {
		err error
		is  func(error) bool
	}{
		{path(unix.ENOENT), errdefs.IsNotFound}, {path(unix.ENOTDIR), errdefs.IsInvalidArgument}, {path(unix.ELOOP), errdefs.IsInvalidArgument},
		{path(unix.EIO), func(err error) bool { return errors.Is(err, unix.EIO) }}, {nil, func(err error) bool { return err == nil }},
	} {
		if got := missing(c.err, "/x", "box"); !c.is(got) {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

// While a container at rest is looked at, nothing else is done with it.
func TestHeld(t *testing.T) {
	u := unit.New(&container.Record{ID: "x"}, container.Status{State: container.Created})
	t.Cleanup(func() { u.Close(errdefs.ErrUnavailable); u.Wait() })
	looking, looked := false, make(chan bool, 1)
	err := held(t.Context(), u, func(ctx context.Context) error {
		looking = true
		if !u.Post(func() { looked <- looking }) {
			t.Error("the owner has ended")
		}
		select {
		case <-looked:
			t.Error("the owner went on")
		default:
		}
		looking = false
		return ctx.Err()
	})
	if err != nil || <-looked {
		t.Errorf("error %v, or something was done before the end", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := held(gone, u, func(context.Context) error { return nil }); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	u.Close(errdefs.ErrNotFound)
	u.Wait()
	if err := held(t.Context(), u, func(context.Context) error { return nil }); !errdefs.IsNotFound(err) {
		t.Errorf("of one that is gone: %v", err)
	}
}

// What is on its way out is not read any more.
func TestPresent(t *testing.T) {
	for state, want := range map[container.State]string{
		container.Removing: "You cannot export container x which is being removed", container.Dead: "You cannot export container x which is Dead",
		container.Created: "", container.Running: "", container.Exited: "",
	} {
		u := unit.New(&container.Record{ID: "x"}, container.Status{State: state})
		t.Cleanup(func() { u.Close(errdefs.ErrUnavailable); u.Wait() })
		err := present(u, "export")
		if want == "" && err != nil || want != "" && (!errdefs.IsConflict(err) || err.Error() != want) {
			t.Errorf("%s: %v", state, err)
		}
	}
}
