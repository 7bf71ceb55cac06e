package volumes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/sys/mountinfo"
)

// remove removes a volume; its data is deleted behind that. Conflict when containers
// have it; NotFound when there is none and force is not set.
func (c *catalog) remove(ctx context.Context, name string, force bool) error {
	if err := c.turn.take(ctx); err != nil {
		return err
	}
	defer c.turn.give()
	e, err := c.detach(name)
	if err != nil {
		if force && errdefs.IsNotFound(err) {
			return nil
		}
		return err
	}
	gone, err := c.moveAway(ctx, e)
	if err != nil {
		c.mu.Lock()
		c.volumes[name] = e
		c.mu.Unlock()
		return fmt.Errorf("remove %s: %w", name, err)
	}
	// From here on the volume does not exist, whatever happens.
	c.fault("volume.gone")
	c.news.tell(events.ActionDestroy, e.meta, nil)
	c.sweeper.later(gone)
	return nil
}

// detach takes an unused volume out of the table, so that nobody can begin to
// use it; the turn is held.
func (c *catalog) detach(name string) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.volumes[name]
	if e == nil {
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("get %s: no such volume", name))
	}
	if len(e.refs) > 0 {
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("remove %s: volume is in use - [%s]", name, strings.Join(sortedKeys(e.refs), ", ")))
	}
	delete(c.volumes, name)
	return e, nil
}

// moveAway renames the volume's folder out of the way of a new one of its name.
func (c *catalog) moveAway(ctx context.Context, e *entry) (string, error) {
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
	gone := filepath.Join(c.root, gonePrefix+unique())
	if err := os.Rename(e.dir, gone); err != nil {
		return "", err
	}
	return gone, syncDir(c.root)
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
