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
// gives it that folder's owner and mode. A volume that nobody else uses gets it
// all at once, by a rename: a kill leaves it empty, and the next container
// copies again.
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
	if s.catalog.busy(e) || e.meta.mounted() {
		return files.CopyTree(ctx, data, src)
	}
	return copyStaged(ctx, e, src)
}

// copyStaged copies beside the data folder and exchanges the two.
func copyStaged(ctx context.Context, e *entry, src *os.File) error {
	stage := filepath.Join(filepath.Dir(e.dir), newPrefix+unique())
	if err := os.Mkdir(stage, 0o700); err != nil {
		return err
	}
	if err := stageAndSwap(ctx, e, filepath.Join(stage, dataDir), src); err != nil {
		return errors.Join(err, sweep(stage))
	}
	return sweep(stage)
}

func stageAndSwap(ctx context.Context, e *entry, stage string, src *os.File) error {
	if err := os.Mkdir(stage, 0o700); err != nil {
		return err
	}
	dst, err := os.OpenFile(stage, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer dst.Close()
	if err := files.CopyTree(ctx, dst, src); err != nil {
		return err
	}
	if err := syncfs(stage); err != nil {
		return err
	}
	return unix.Renameat2(unix.AT_FDCWD, stage, unix.AT_FDCWD, e.data(), unix.RENAME_EXCHANGE)
}
