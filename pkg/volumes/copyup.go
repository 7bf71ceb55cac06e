package volumes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/berth-engine/berth/pkg/files"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// copyUp fills an empty volume with what the container's image has at dest, and
// gives it that folder's owner and mode: all at once, by renames, so that a kill or a
// full disk leaves it empty, and the next container copies again.
func (s *Store) copyUp(ctx context.Context, e *entry, dest string, open OpenDir) error {
	if err := e.turn.take(ctx); err != nil {
		return err
	}
	defer e.turn.give()
	release, err := mountForCopy(ctx, e)
	if err != nil {
		return err
	}
	err = s.fillEmpty(ctx, e, dest, open)
	return errors.Join(err, release())
}

// mountForCopy mounts a volume with a device while we look into it.
func mountForCopy(ctx context.Context, e *entry) (release func() error, err error) {
	none := func() error { return nil }
	if !e.meta.mounted() {
		return none, nil
	}
	on, err := isMountpoint(e.data())
	if err != nil || on {
		return none, err
	}
	if err := e.mount(ctx); err != nil {
		return none, err
	}
	return func() error { return unmount(e.data()) }, nil
}

func (s *Store) fillEmpty(ctx context.Context, e *entry, dest string, open OpenDir) error {
	data, err := os.OpenFile(e.data(), unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer data.Close()
	switch _, err := data.Readdirnames(1); {
	case err == nil:
		return nil // what is there stays
	case !errors.Is(err, io.EOF):
		return err
	}
	src, err := open(dest)
	switch {
	case errors.Is(err, fs.ErrNotExist), errdefs.IsNotFound(err):
		return nil
	case errors.Is(err, unix.ENOTDIR):
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("cannot mount volume over existing file, file exists %s", dest))
	case err != nil:
		return fmt.Errorf("container's %s: %w", dest, err)
	}
	defer src.Close()
	if e.meta.mounted() {
		return s.fillDevice(ctx, e, data, src)
	}
	return s.fillStaged(ctx, e, data, src)
}

// fillDevice copies into a file system of its own, where nothing can be put in place
// at once. What fails is taken away again, unless somebody writes there besides.
func (s *Store) fillDevice(ctx context.Context, e *entry, data, src *os.File) error {
	err := files.CopyTree(ctx, data, src)
	if err != nil && !s.catalog.busy(e) {
		err = errors.Join(err, wipe(e.data()))
	}
	return err
}

func wipe(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	for _, entry := range entries {
		err = errors.Join(err, root.RemoveAll(entry.Name()))
	}
	return err
}

// fillStaged copies beside the data folder and exchanges the two. A folder that a
// container has mounted gets what was copied instead, when all of it is there.
func (s *Store) fillStaged(ctx context.Context, e *entry, data, src *os.File) error {
	stage := filepath.Join(filepath.Dir(e.dir), newPrefix+unique())
	if err := os.Mkdir(stage, 0o700); err != nil {
		return err
	}
	copied, err := copyTo(ctx, filepath.Join(stage, dataDir), src)
	if err != nil {
		return errors.Join(err, sweep(ctx, stage))
	}
	defer copied.Close()
	s.fault("copyup.copied")
	if s.catalog.busy(e) {
		err = files.MoveTree(data, copied)
	} else {
		err = unix.Renameat2(unix.AT_FDCWD, copied.Name(), unix.AT_FDCWD, e.data(), unix.RENAME_EXCHANGE)
	}
	s.fault("copyup.placed")
	return errors.Join(err, sweep(ctx, stage))
}

// copyTo makes a folder with all that src has. It does not wait for the disk, which would
// take longer than all the rest and have whatever else the host writes waited for: what a
// kill must not leave in part is whole in memory. When the host itself fails, what was
// copied in the last seconds is as safe as what the container wrote then.
func copyTo(ctx context.Context, dir string, src *os.File) (*os.File, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	dst, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := files.CopyTree(ctx, dst, src); err != nil {
		return nil, errors.Join(err, dst.Close())
	}
	return dst, nil
}
