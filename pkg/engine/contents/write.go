package contents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/berth-engine/berth/pkg/decompress"
	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/files"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// WriteOptions are those of PUT /containers/{id}/archive.
type WriteOptions struct {
	KeepKinds bool // noOverwriteDirNonDir: a folder is not replaced by a file, nor the reverse
	CopyOwner bool // copyUIDGID: files belong to the container's user
}

// WriteArchive unpacks a tar stream, plain or compressed, into the folder at a path.
// NotFound: there is none. InvalidArgument: it is no folder, read-only for the
// container, or the stream is broken.
func (c *Contents) WriteArchive(ctx context.Context, ref, name string, o WriteOptions, content io.Reader) error {
	u, err := c.Units.Find(ref)
	if err != nil {
		return err
	}
	stream, err := decompress.Open(content)
	if err != nil {
		return broken(err)
	}
	defer stream.Close()
	err = c.view(ctx, u, func(t *files.Tree) error {
		r := u.View().Record
		at, err := t.Evaluate(clean(name))
		if err != nil {
			return missing(err, name, ref)
		}
		info, err := t.Lstat(at)
		if err != nil {
			return missing(err, name, ref)
		}
		if !info.IsDir() {
			return errdefs.ErrInvalidArgument.WithMessage("extraction point is not a directory")
		}
		if err := writable(r, at); err != nil {
			return err
		}
		options := files.UnpackOptions{KeepKinds: o.KeepKinds}
		if o.CopyOwner && r.Config.User != "" {
			if options.Owner, err = owner(t, r.Config.User); err != nil {
				return err
			}
		}
		return broken(t.Unpack(ctx, stream, at, options))
	})
	if err == nil {
		c.Events.Publish(u.Event(events.ActionExtractToDir, nil))
	}
	return err
}

// broken gives what a decompressor complains of a class.
func broken(err error) error {
	if errors.Is(err, decompress.ErrBroken) {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return err
}

func owner(t *files.Tree, user string) (*files.Owner, error) {
	uid, gid, err := spec.LookupUser(t.ReadFile, user)
	if err != nil {
		return nil, fmt.Errorf("owner of the files: %w", err)
	}
	return &files.Owner{UID: uid, GID: gid}, nil
}

// writable refuses, in Docker's words, what is read-only for the container.
func writable(r *container.Record, at string) error {
	if m, ok := deepest(r.Mounts, at); ok {
		if !m.RW {
			return errdefs.ErrInvalidArgument.WithMessage("mounted volume is marked read-only")
		}
		return nil
	}
	if r.HostConfig.ReadonlyRootfs {
		return errdefs.ErrInvalidArgument.WithMessage("container rootfs is marked read-only")
	}
	return nil
}

// deepest is the mount that a path is in.
func deepest(mounts []ctypes.MountPoint, at string) (found ctypes.MountPoint, ok bool) {
	for _, m := range mounts {
		dest := path.Clean(m.Destination)
		if (at == dest || strings.HasPrefix(at, dest+"/")) && (!ok || len(dest) > len(found.Destination)) {
			found, ok = m, true
		}
	}
	return found, ok
}
