package volumes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/berth-engine/berth/pkg/volumes/points"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

// Points describes a container's mounts as inspect shows them; the result follows
// from the arguments alone. It changes nothing. Errors are Parse's, those of names and
// options of volumes, and InvalidArgument for a bind of what is not there.
func (s *Store) Points(id string, cfg *container.Config, hc *container.HostConfig, from []mount.Mount) ([]container.MountPoint, error) {
	all, err := s.parser.Parse(cfg, hc, from)
	if err != nil {
		return nil, err
	}
	var out []container.MountPoint
	for i, p := range all {
		if p.Hidden {
			continue
		}
		if err := checkSource(p, s.mounter.recursiveReadonly); err != nil {
			return nil, err
		}
		m := container.MountPoint{
			Type: p.Type, Source: p.Source, Destination: p.Destination, Mode: p.Mode, RW: p.RW, Propagation: p.Propagation,
		}
		switch p.Type {
		case mount.TypeImage:
			m.Name, m.Source = p.Name, s.mounter.places.of(id, i)
		case mount.TypeVolume:
			want := wanted(p, id)
			if err := want.check(); err != nil {
				// Docker says NotFound, which has its CLI look for the image.
				return nil, invalid("%v", err)
			}
			m.Name, m.Driver, m.Source = want.Name, want.Driver, filepath.Join(s.catalog.root, want.Name, dataDir)
		}
		out = append(out, m)
	}
	return out, nil
}

// Shared tells what a container that takes over the mounts of another one gets.
func (s *Store) Shared(id string, cfg *container.Config, hc *container.HostConfig, from []mount.Mount) ([]mount.Mount, error) {
	all, err := s.parser.Parse(cfg, hc, from)
	if err != nil {
		return nil, err
	}
	var out []mount.Mount
	for _, p := range all {
		if !p.Hidden {
			out = append(out, p.Shared(wanted(p, id).Name))
		}
	}
	return out, nil
}

// wanted is what a volume of container id has to be.
func wanted(p points.Point, id string) metadata {
	m := metadata{Name: p.Name, Driver: p.Driver, Labels: p.Labels, Options: p.Options}
	if m.Name == "" {
		m.Name = anonymousName(id, p.Destination)
		m.Labels = withAnonymous(p.Labels)
	}
	return m
}

// OpenDir opens a folder of a container's root file system, following links
// inside that root only. fs.ErrNotExist or NotFound: there is nothing; any
// other error: what is there is no folder.
type OpenDir = func(path string) (*os.File, error)

// Prepare makes the volumes that a new container needs and notes that it has
// them, and copies the image's content into those that are empty. It undoes itself
// when it fails, and so does the next start of the daemon unless Born says that the
// container exists.
func (s *Store) Prepare(ctx context.Context, id string, cfg *container.Config, hc *container.HostConfig, from []mount.Mount, open OpenDir) (err error) {
	all, err := s.parser.Parse(cfg, hc, from)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Release(context.WithoutCancel(ctx), id, true))
		}
	}()
	if err := s.unborn.note(id, anonymous(id, all)); err != nil {
		return err
	}
	for _, p := range all {
		if p.Type != mount.TypeVolume {
			continue
		}
		e, err := s.catalog.obtain(ctx, wanted(p, id), id, true)
		if err != nil {
			return err
		}
		if !p.Copy {
			continue
		}
		if err := s.copyUp(ctx, e, p.Destination, open); err != nil {
			return err
		}
	}
	return nil
}

// Reserve says at boot which volumes a container has, and whether it has them
// mounted. A volume that is gone is told in the log: the container's next start
// makes it again.
func (s *Store) Reserve(id string, cfg *container.Config, hc *container.HostConfig, from []mount.Mount, running bool) error {
	all, err := s.parser.Parse(cfg, hc, from)
	if err != nil {
		return err
	}
	if running {
		s.catalog.runs(id)
	}
	for _, p := range all {
		if p.Type != mount.TypeVolume {
			continue
		}
		name := wanted(p, id).Name
		if !s.catalog.reserve(id, name, running) {
			s.logger.Warn("a container's volume is gone", "container", id, "volume", name)
		}
	}
	return nil
}

// Release forgets a container that is removed, or whose creation failed. anonymous
// removes its volumes without a name that no other container has, and those that a
// failed creation made.
func (s *Store) Release(ctx context.Context, id string, anonymous bool) error {
	if err := s.Unmount(ctx, id); err != nil {
		return err
	}
	left := s.catalog.forget(id)
	if !anonymous {
		return nil
	}
	var errs []error
	for _, e := range left {
		name := e.meta.Name
		// In the meantime another container may have come to use it.
		if err := s.Remove(ctx, name, true); err != nil && !errdefs.IsConflict(err) {
			errs = append(errs, fmt.Errorf("removing volume %s: %w", name, err))
		}
	}
	return errors.Join(append(errs, s.unborn.forget(id))...)
}
