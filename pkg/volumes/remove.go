package volumes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
)

// Remove removes a volume and its data. Conflict when containers have it;
// NotFound when there is none and force is not set.
func (s *Store) Remove(ctx context.Context, name string, force bool) error {
	if err := s.turn.take(ctx); err != nil {
		return err
	}
	defer s.turn.give()
	e, err := s.detach(name)
	if err != nil {
		if force && errdefs.IsNotFound(err) {
			return nil
		}
		return err
	}
	gone, err := s.moveAway(ctx, e)
	if err != nil {
		s.mu.Lock()
		s.volumes[name] = e
		s.mu.Unlock()
		return fmt.Errorf("remove %s: %w", name, err)
	}
	// From here on the volume does not exist, whatever happens.
	if err := s.sweep(gone); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// detach takes an unused volume out of the table, so that nobody can begin to
// use it; the store's turn is held.
func (s *Store) detach(name string) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.volumes[name]
	if e == nil {
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("get %s: no such volume", name))
	}
	if len(e.refs) > 0 {
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("remove %s: volume is in use - [%s]", name, strings.Join(sortedKeys(e.refs), ", ")))
	}
	delete(s.volumes, name)
	return e, nil
}

// moveAway renames the volume's folder out of the way of a new one of its name.
func (s *Store) moveAway(ctx context.Context, e *entry) (string, error) {
	if err := e.turn.take(ctx); err != nil {
		return "", err
	}
	defer e.turn.give()
	if e.meta.mounted() {
		if err := unmount(e.data()); err != nil {
			return "", err
		}
	}
	if err := nothingMounted(e.dir); err != nil {
		return "", err
	}
	gone := filepath.Join(s.root, gonePrefix+unique())
	if err := os.Rename(e.dir, gone); err != nil {
		return "", err
	}
	return gone, syncDir(s.root)
}

// sweep deletes a folder of the store. os.RemoveAll follows no links, but it
// would go on into what someone mounted there.
func (s *Store) sweep(dir string) error {
	if err := nothingMounted(dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

func nothingMounted(dir string) error {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return fmt.Errorf("looking for mounts below %s: %w", dir, err)
	}
	if len(infos) > 0 {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("%s is mounted, unmount it first", infos[0].Mountpoint))
	}
	return nil
}
