package images

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/berth-engine/berth/pkg/images/policy"
	"golang.org/x/sys/unix"
)

// Disk says how disk space is used.
type Disk struct {
	Policy policy.Policy
	// Root is a folder on the file system that the policy speaks of.
	Root string
	// Discard drops the compressed layers of what was pulled or loaded once they
	// are unpacked. Such images run, but cannot be pushed or saved.
	Discard bool
}

// watchInterval is how often the disk is looked at: one system call.
const watchInterval = time.Minute

// watermark removes images when the disk fills.
type watermark struct {
	s    *Store
	used func() (used, size uint64, err error)
	told string // what was last said that would go
}

// watch looks at the disk until ctx ends.
func (w *watermark) watch(ctx context.Context) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			w.s.log.Warn("images: keep disk usage under the high watermark", "error", err)
		}
	}
}

func statfs(root string) func() (used, size uint64, err error) {
	return func() (used, size uint64, err error) {
		var st unix.Statfs_t
		if err := unix.Statfs(root, &st); err != nil {
			return 0, 0, fmt.Errorf("statfs %s: %w", root, err)
		}
		// What root alone may use counts as used, as df counts.
		size = (st.Blocks - st.Bfree + st.Bavail) * uint64(st.Bsize)
		return (st.Blocks - st.Bfree) * uint64(st.Bsize), size, nil
	}
}

// look removes what the policy chooses, and again as long as that was not enough:
// how much an image frees is known only afterwards.
func (w *watermark) look(ctx context.Context) error {
	p := w.s.cfg.Disk.Policy
	for {
		used, size, err := w.used()
		if err != nil {
			return err
		}
		excess := p.Excess(used, size)
		if excess == 0 {
			return nil
		}
		if _, err := w.s.keeper.DropPulls(ctx, ""); err != nil {
			return err
		}
		chosen := p.Choose(w.images(), excess)
		if p.DryRun {
			w.tell(chosen, used, size)
			return nil
		}
		removed := 0
		for _, one := range chosen {
			n, err := w.remove(ctx, one)
			if err != nil {
				return err
			}
			removed += n
		}
		if err := w.s.keeper.CollectNow(ctx); err != nil {
			return err
		}
		if removed == 0 {
			w.s.log.Warn("images: the disk is above the high watermark, and no image is left that may go", "used", used, "size", size)
			return nil
		}
		if p = (policy.Policy{High: max(p.Low, 1), Low: p.Low, Keep: p.Keep}); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// tell says what would go, once.
func (w *watermark) tell(chosen []policy.Image, used, size uint64) {
	var names []string
	for _, one := range chosen {
		names = append(names, strings.Join(append([]string{one.ID}, one.Names...), " "))
	}
	if text := strings.Join(names, ", "); text != w.told {
		w.told = text
		w.s.log.Info("images: the disk is above the high watermark; these would be removed, were it not a dry run", "images", text, "used", used, "size", size)
	}
}

// images are what the policy chooses among.
func (w *watermark) images() (out []policy.Image) {
	v := w.s.catalog.View()
	users := catalog.LayerUsers(v.Sorted)
	for _, t := range v.Sorted {
		running, stopped := w.s.catalog.Users(t.Desc.Digest.String())
		one := policy.Image{ID: t.Desc.Digest.String(), InUse: len(running)+len(stopped) > 0, Used: w.s.uses.last(t), Size: t.Size - t.Shared(users)}
		for _, img := range t.Names {
			if !catalog.IsDangling(img) {
				one.Names = append(one.Names, img.Name)
			}
		}
		out = append(out, one)
	}
	return out
}

func (w *watermark) remove(ctx context.Context, one policy.Image) (int, error) {
	t, _, err := w.s.catalog.View().Lookup(one.ID)
	if err != nil {
		return 0, nil // gone meanwhile
	}
	removed, err := (&prune{s: w.s}).remove(ctx, t)
	if len(removed) > 0 {
		w.s.log.Info("images: removed for space", "id", one.ID, "names", one.Names)
	}
	return len(removed), err
}
