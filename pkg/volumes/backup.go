package volumes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"

	"github.com/berth-engine/berth/pkg/decompress"
	"github.com/berth-engine/berth/pkg/files"
	"github.com/berth-engine/berth/pkg/volumes/points"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/volume"
	"golang.org/x/sys/unix"
)

// SnapshotLabel names the volume that a snapshot is of.
const SnapshotLabel = "berth-engine.snapshot-of"

// Freeze pauses those of the containers that run, until thaw.
type Freeze func(ctx context.Context, containers []string) (thaw func() error, err error)

// Backups are the verbs on whole volumes: what Docker leaves to a container with tar
// in it.
type Backups struct {
	catalog *catalog
	mounter *mounter
	freeze  Freeze
}

// Backups gives them.
func (s *Store) Backups() *Backups { return s.backups }

// borrow has a volume mounted while f looks at it, with the containers that have it
// paused if that is asked for.
func (b *Backups) borrow(ctx context.Context, name string, pause bool, f func(*entry) error) (err error) {
	e, err := b.catalog.find(name)
	if err != nil {
		return err
	}
	id := "backup-" + unique()
	switch ok, err := b.mounter.useEntry(ctx, id, e); {
	case err != nil:
		return err
	case !ok: // removed in the meantime
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("get %s: no such volume", name))
	}
	defer func() { err = errors.Join(err, b.mounter.unuse(context.WithoutCancel(ctx), id, e)) }()
	if !pause {
		return f(e)
	}
	thaw, err := b.freeze(ctx, b.catalog.containers(name))
	if err != nil {
		return err
	}
	return errors.Join(f(e), thaw())
}

// Export writes a volume as a tar stream, holes and all, to what open gives.
func (b *Backups) Export(ctx context.Context, name string, pause bool, open func() (io.Writer, error)) error {
	return b.borrow(ctx, name, pause, func(e *entry) error {
		tree, err := files.OpenTree(e.data())
		if err != nil {
			return err
		}
		defer tree.Close()
		w, err := open()
		if err != nil {
			return err
		}
		return tree.Pack(ctx, w, "/", ".", files.PackOptions{Exact: true})
	})
}

// Import fills a volume with what a tar stream, plain or compressed, holds; the volume
// is made if there is none. It has all of it or, after an error or a kill, is as it
// was. Conflict: it is not empty and replace is not set, or a running container has
// it. InvalidArgument: a broken stream.
func (b *Backups) Import(ctx context.Context, name string, replace bool, content io.Reader) (volume.Volume, error) {
	m := metadata{Name: name}
	if err := m.check(); err != nil {
		return volume.Volume{}, err
	}
	stream, err := decompress.Open(content)
	if err != nil {
		return volume.Volume{}, broken(err)
	}
	defer stream.Close()
	return b.staged(ctx, m, func(data string) error {
		tree, err := files.OpenTree(data)
		if err != nil {
			return err
		}
		defer tree.Close()
		return broken(tree.Unpack(ctx, stream, "/", files.UnpackOptions{Exact: true}))
	}, func(e *entry, data string) error { return b.exchange(ctx, e, data, replace) })
}

func broken(err error) error {
	if errors.Is(err, decompress.ErrBroken) {
		return errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	return err
}

// Snapshot makes a volume that shares the blocks of another one as it is now.
// NotImplemented: the file system cannot. AlreadyExists: there is a volume called as.
func (b *Backups) Snapshot(ctx context.Context, name, as string, pause bool) (made volume.Volume, err error) {
	if _, err := b.catalog.find(as); err == nil {
		return made, errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("volume %s exists already", as))
	}
	return made, b.borrow(ctx, name, pause, func(e *entry) error {
		m := metadata{Name: as, Labels: maps.Clone(e.meta.Labels)}
		delete(m.Labels, AnonymousLabel)
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		m.Labels[SnapshotLabel] = name
		if err := m.check(); err != nil {
			return err
		}
		made, err = b.staged(ctx, m, func(data string) error { return clone(ctx, data, e.data()) }, func(*entry, string) error {
			return errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf("volume %s exists already", as))
		})
		return err
	})
}

// Restore gives a volume the content of another one, with which it shares its blocks.
// NotImplemented: the file system cannot. Conflict: a running container has the volume.
func (b *Backups) Restore(ctx context.Context, name, from string) error {
	if _, err := b.catalog.find(name); err != nil {
		return err
	}
	return b.borrow(ctx, from, false, func(source *entry) error {
		_, err := b.staged(ctx, metadata{Name: name, Driver: points.DefaultDriver},
			func(data string) error { return clone(ctx, data, source.data()) },
			func(e *entry, data string) error { return b.exchange(ctx, e, data, true) })
		return err
	})
}

func clone(ctx context.Context, dst, src string) error {
	from, err := os.OpenFile(src, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(dst, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer to.Close()
	return files.CloneTree(ctx, to, from)
}

// staged has a volume filled where nobody sees it, and puts it into its place. exists
// is called instead, with what was filled, when there is one of that name by then.
func (b *Backups) staged(ctx context.Context, m metadata, fill func(data string) error, exists func(e *entry, data string) error) (v volume.Volume, err error) {
	tmp, m, err := b.catalog.stage(m)
	if err != nil {
		return v, fmt.Errorf("create %s: %w", m.Name, err)
	}
	left := true
	defer func() {
		switch {
		case err != nil && left: // a full disk has its room again with the answer
			err = errors.Join(err, sweep(ctx, tmp))
		case left: // what was replaced
			b.catalog.sweeper.later(tmp)
		}
	}()
	data := filepath.Join(tmp, dataDir)
	if err := errors.Join(fill(data), syncfs(data)); err != nil {
		return v, fmt.Errorf("volume %s: %w", m.Name, err)
	}
	b.catalog.fault("volume.filled")
	if err := b.catalog.turn.take(ctx); err != nil {
		return v, err
	}
	defer b.catalog.turn.give()
	if e := b.catalog.existing(m.Name, ""); e != nil {
		return e.describe(), exists(e, data)
	}
	left = false
	e, err := b.catalog.place(tmp, m)
	if err != nil {
		return v, err
	}
	b.catalog.add(e, "")
	return e.describe(), nil
}

// syncfs: names must not reach the disk before what they name.
func syncfs(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return &os.PathError{Op: "syncfs", Path: dir, Err: err}
	}
	return nil
}

// exchange gives a volume that nobody has mounted another folder of data.
func (b *Backups) exchange(ctx context.Context, e *entry, data string, replace bool) error {
	if err := e.turn.take(ctx); err != nil {
		return err
	}
	defer e.turn.give()
	conflict := func(why string) error {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("volume %s %s", e.meta.Name, why))
	}
	switch empty, err := isEmpty(e.data()); {
	case err != nil:
		return err
	case e.meta.mounted():
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("volume %s is a device of its own, which cannot be replaced as a whole", e.meta.Name))
	case b.catalog.busy(e):
		return conflict("is mounted by a running container: stop it first")
	case !empty && !replace:
		return conflict("is not empty: its content can be replaced on request")
	}
	if err := unix.Renameat2(unix.AT_FDCWD, data, unix.AT_FDCWD, e.data(), unix.RENAME_EXCHANGE); err != nil {
		return &os.PathError{Op: "rename", Path: e.data(), Err: err}
	}
	b.catalog.fault("volume.exchanged")
	return syncDir(e.dir)
}

func isEmpty(dir string) (bool, error) {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}
