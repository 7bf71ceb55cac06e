package volumes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/volume"
	"golang.org/x/sys/unix"
)

// List describes the volumes that pass the filters dangling, driver, label and
// name, by name. InvalidArgument for another filter.
func (s *Store) List(f filters.Args) ([]volume.Volume, error) {
	if err := f.Validate("dangling", "driver", "label", "name"); err != nil {
		return nil, err
	}
	dangling, err := f.Bool("dangling", false)
	if err != nil {
		return nil, err
	}
	var out []volume.Volume
	for _, e := range s.catalog.choose(func(e *entry) bool {
		return (!f.Has("dangling") || dangling == (len(e.refs) == 0)) &&
			f.Match("driver", e.meta.Driver) && f.MatchLabels("label", e.meta.Labels) &&
			f.MatchPattern("name", e.meta.Name)
	}) {
		out = append(out, e.describe())
	}
	return out, nil
}

// Prune removes the volumes that no container has and that pass the filters
// label and label!; those with a name only with the filter all.
func (s *Store) Prune(ctx context.Context, f filters.Args) (volume.PruneReport, error) {
	report := volume.PruneReport{VolumesDeleted: []string{}}
	if err := f.Validate("all", "label", "label!"); err != nil {
		return report, err
	}
	all, err := f.Bool("all", false)
	if err != nil {
		return report, err
	}
	for _, e := range s.catalog.choose(prunable(f, all)) {
		size, err := diskUsage(ctx, e.data())
		if err != nil {
			s.logger.Warn("size of a volume", "volume", e.meta.Name, "error", err)
		}
		switch err := s.Remove(ctx, e.meta.Name, true); {
		case errdefs.IsConflict(err): // somebody has it by now
			continue
		case ctx.Err() != nil:
			return report, ctx.Err()
		case err != nil:
			s.logger.Warn("volume could not be pruned", "volume", e.meta.Name, "error", err)
			continue
		}
		report.VolumesDeleted = append(report.VolumesDeleted, e.meta.Name)
		report.SpaceReclaimed += uint64(size)
	}
	s.news.pruned(report.SpaceReclaimed)
	return report, nil
}

func prunable(f filters.Args, all bool) func(*entry) bool {
	return func(e *entry) bool {
		return len(e.refs) == 0 && (all || e.anonymous()) && f.MatchLabels("label", e.meta.Labels) &&
			!(f.Has("label!") && f.MatchLabels("label!", e.meta.Labels))
	}
}

// Usage is Inspect with UsageData: the bytes that the volume takes on disk and
// how many containers have it.
func (s *Store) Usage(ctx context.Context, name string) (volume.Volume, error) {
	e, err := s.catalog.find(name)
	if err != nil {
		return volume.Volume{}, err
	}
	v := e.describe()
	size, err := diskUsage(ctx, e.data())
	if err != nil {
		return volume.Volume{}, fmt.Errorf("size of volume %s: %w", name, err)
	}
	v.UsageData = &volume.UsageData{Size: size, RefCount: int64(len(s.Users(name)))}
	return v, nil
}

// diskUsage adds up what is stored below dir, a file with several links once.
// Names are only looked at (lstat): links are followed nowhere but dir itself.
func diskUsage(ctx context.Context, dir string) (int64, error) {
	type inode struct{ dev, ino uint64 }
	seen := map[inode]bool{}
	var total int64
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) { // gone since it was listed
			return nil
		}
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return nil // likewise
		}
		if id := (inode{st.Dev, st.Ino}); st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if seen[id] {
				return nil
			}
			seen[id] = true
		}
		total += st.Blocks * 512
		return nil
	})
	return total, err
}
