// Package contents moves files in and out of containers: archives of a path, the
// export of a root filesystem, what changed in it, and images made of that.
//
// A container that runs is looked at as it is mounted; one at rest has its snapshot
// mounted for the occasion, and is held meanwhile: it can neither be started nor
// removed, for two mounts must not write to one snapshot. All is done by
// descriptor (pkg/files): what a container finds to exchange in the meantime leads
// nowhere but into its own root.
package contents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/layout"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/files"
	"github.com/berth-engine/berth/pkg/runtime/rootfs"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Roots opens root filesystems. *runtime.Runtime satisfies it.
type Roots interface {
	OpenRootfs(ctx context.Context, id string) (*rootfs.Root, error)
	OpenView(ctx context.Context, id string, mounts []rootfs.Mount) (*rootfs.Root, error)
	CompareRootfs(ctx context.Context, id string) (*files.Comparison, func() error, error)
}

// Volumes lends a container's mounts. *volumes.Store satisfies it.
type Volumes interface {
	Borrow(ctx context.Context, id string, cfg *ctypes.Config, hc *ctypes.HostConfig, from []mount.Mount) (mounts []specs.Mount, giveBack func() error, err error)
}

// Freezer pauses containers.
type Freezer interface {
	// Hold pauses those of the containers that run until release. After a kill the
	// next start of berthd releases them.
	Hold(ctx context.Context, refs ...string) (release func() error, err error)
}

// Contents reaches the files of containers. All fields are required.
type Contents struct {
	layout.Layout
	Units   *unit.Registry
	Roots   Roots
	Volumes Volumes
	Freezer Freezer
	Images  Images
	Events  interface{ Publish(events.Message) }
}

// held runs f while the container does not begin to run: a running one is not held.
func held(ctx context.Context, u *unit.Unit, f func(context.Context) error) error {
	if u.Status().Live() {
		return f(ctx)
	}
	begun, done := make(chan struct{}), make(chan struct{})
	var refused error
	var holding sync.WaitGroup
	defer holding.Wait()
	defer close(done)
	over := make(chan struct{})
	holding.Go(func() {
		defer close(over)
		refused = u.Do(ctx, func(context.Context) error {
			close(begun)
			<-done
			return nil
		})
	})
	select {
	case <-begun:
		return f(ctx)
	case <-over: // before it began, or while: the client is gone
		return refused
	}
}

// view opens what a container sees, or would see if it ran, and has f use it.
func (c *Contents) view(ctx context.Context, u *unit.Unit, f func(*files.Tree) error) error {
	return held(ctx, u, func(ctx context.Context) (err error) {
		r := u.View().Record
		mounts, giveBack, err := c.Volumes.Borrow(ctx, r.ID, r.Config, r.HostConfig, r.Shared)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, giveBack()) }()
		root, err := c.Roots.OpenView(ctx, r.ID, append(c.own(r), convert(r.Loosen(mounts))...))
		if err != nil {
			return err
		}
		defer root.Close()
		return f(root.Tree)
	})
}

// own are the files that we write for a container, once it has run.
func (c *Contents) own(r *container.Record) (out []rootfs.Mount) {
	for _, name := range []string{"hostname", "hosts", "resolv.conf"} {
		source := filepath.Join(c.Dir(r.ID), name)
		if _, err := os.Lstat(source); err == nil {
			out = append(out, rootfs.Mount{Source: source, Destination: "/etc/" + name})
		}
	}
	return out
}

// convert takes the runtime's mounts that are the host's files. A tmpfs is the
// container's alone, and gone when it stops.
func convert(mounts []specs.Mount) (out []rootfs.Mount) {
	for _, m := range mounts {
		if m.Type != "bind" {
			continue
		}
		out = append(out, rootfs.Mount{
			Source: m.Source, Destination: m.Destination, Recursive: slices.Contains(m.Options, "rbind"),
			ReadOnly: slices.Contains(m.Options, "ro"), AllReadOnly: slices.Contains(m.Options, "rro"),
		})
	}
	return out
}

// clean makes a path absolute as Docker does: without dots, but for those and the
// slash at the end, which say what is meant.
func clean(name string) string {
	out := path.Join("/", name)
	switch {
	case path.Base(name) == "." && name != "":
		return strings.TrimSuffix(out, "/") + "/."
	case strings.HasSuffix(name, "/") && out != "/":
		return out + "/"
	}
	return out
}

// missing gives errors of a path Docker's words.
func missing(err error, name, ref string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("Could not find the file %s in container %s", name, ref))
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EINVAL):
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return err
}

// Stat describes what is at a path. NotFound: nothing.
func (c *Contents) Stat(ctx context.Context, ref, name string) (stat ctypes.PathStat, err error) {
	u, err := c.Units.Find(ref)
	if err != nil {
		return stat, err
	}
	return stat, c.view(ctx, u, func(t *files.Tree) (err error) {
		stat, err = lstat(t, clean(name))
		return missing(err, name, ref)
	})
}

func lstat(t *files.Tree, name string) (ctypes.PathStat, error) {
	info, err := t.Lstat(name)
	if err != nil {
		return ctypes.PathStat{}, err
	}
	stat := ctypes.PathStat{Name: path.Base(name), Size: info.Size(), Mode: info.Mode(), Mtime: info.ModTime()}
	if info.Mode()&fs.ModeSymlink != 0 {
		stat.LinkTarget, err = t.Evaluate(name)
	}
	return stat, err
}

// ReadArchive writes what is at a path as a tar stream, to what open gives. NotFound:
// nothing is there.
func (c *Contents) ReadArchive(ctx context.Context, ref, name string, open func(ctypes.PathStat) (io.Writer, error)) error {
	u, err := c.Units.Find(ref)
	if err != nil {
		return err
	}
	err = c.view(ctx, u, func(t *files.Tree) error {
		at := clean(name)
		stat, err := lstat(t, at)
		if err != nil {
			return missing(err, name, ref)
		}
		w, err := open(stat)
		if err != nil {
			return err
		}
		return t.Pack(ctx, w, at, stat.Name, files.PackOptions{})
	})
	if err == nil {
		c.Events.Publish(u.Event(events.ActionArchivePath, nil))
	}
	return err
}

// Export writes the root filesystem as a tar stream: without what is mounted in it.
// Conflict: it is being removed.
func (c *Contents) Export(ctx context.Context, ref string, open func() (io.Writer, error)) error {
	u, err := c.Units.Find(ref)
	if err != nil {
		return err
	}
	if err := present(u, "export"); err != nil {
		return err
	}
	err = held(ctx, u, func(ctx context.Context) error {
		root, err := c.Roots.OpenRootfs(ctx, u.ID)
		if err != nil {
			return err
		}
		defer root.Close()
		w, err := open()
		if err != nil {
			return err
		}
		return root.Pack(ctx, w, "/", "", files.PackOptions{})
	})
	if err == nil {
		c.Events.Publish(u.Event(events.ActionExport, nil))
	}
	return err
}

// Changes tells what became of the image's files.
func (c *Contents) Changes(ctx context.Context, ref string) (out []ctypes.FilesystemChange, err error) {
	u, err := c.Units.Find(ref)
	if err != nil {
		return nil, err
	}
	return out, held(ctx, u, func(ctx context.Context) error {
		comparison, done, err := c.compare(ctx, u.ID)
		if err != nil {
			return err
		}
		defer done()
		all, err := comparison.List(ctx)
		for _, change := range all {
			out = append(out, ctypes.FilesystemChange{Path: change.Path, Kind: ctypes.ChangeType(change.Kind)})
		}
		return err
	})
}

// compare gives the comparison of a container with its image.
func (c *Contents) compare(ctx context.Context, id string) (*files.Comparison, func(), error) {
	comparison, done, err := c.Roots.CompareRootfs(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	comparison.Hidden = hidden
	return comparison, func() { _ = done() }, nil // read only
}

// places are what the engine and its runtime make in a root for their own mounts: in
// Docker they are in a layer of their own below the container's.
var places = map[string]fs.FileMode{
	"/.dockerenv": 0, "/dev": fs.ModeDir, "/proc": fs.ModeDir, "/sys": fs.ModeDir, "/dev/pts": fs.ModeDir, "/dev/shm": fs.ModeDir,
	"/dev/mqueue": fs.ModeDir, "/dev/console": 0, "/etc": fs.ModeDir, "/etc/hosts": 0, "/etc/hostname": 0, "/etc/resolv.conf": 0,
	"/etc/mtab": fs.ModeSymlink,
}

func hidden(name string, mode fs.FileMode, size int64) bool {
	kind, ok := places[name]
	return ok && mode.Type() == kind && (size == 0 || kind != 0)
}
