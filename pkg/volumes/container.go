package volumes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

// Points describes a container's mounts as inspect shows them. The result
// follows from the arguments alone. Errors are Parse's, and those of names and
// options of volumes.
func (s *Store) Points(id string, cfg *container.Config, hc *container.HostConfig, from []container.MountPoint) ([]container.MountPoint, error) {
	points, err := Parse(cfg, hc, from)
	if err != nil {
		return nil, err
	}
	var out []container.MountPoint
	for _, p := range points {
		if p.Hidden {
			continue
		}
		m := container.MountPoint{
			Type: p.Type, Source: p.Source, Destination: p.Destination, Mode: p.Mode, RW: p.RW, Propagation: p.Propagation,
		}
		if p.Type == mount.TypeVolume {
			want := p.volume(id)
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

// volume is what a volume of container id has to be.
func (p Point) volume(id string) metadata {
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
// them, copies the image's content into those that are empty, and checks that
// the sources of --mount binds exist. It undoes itself when it fails, and so does
// the next start of the daemon unless Born says that the container exists.
func (s *Store) Prepare(ctx context.Context, id string, cfg *container.Config, hc *container.HostConfig, from []container.MountPoint, open OpenDir) (err error) {
	points, err := Parse(cfg, hc, from)
	if err != nil {
		return err
	}
	for _, p := range points {
		if err := checkSource(p, s.mounter.recursiveReadonly); err != nil {
			return err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Release(context.WithoutCancel(ctx), id, true))
		}
	}()
	if err := s.unborn.note(id, anonymous(id, points)); err != nil {
		return err
	}
	for _, p := range points {
		if p.Type != mount.TypeVolume {
			continue
		}
		e, err := s.catalog.obtain(ctx, p.volume(id), id)
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

// checkSource: only -v and CreateMountpoint make what is not there.
func checkSource(p Point, recursiveReadonly bool) error {
	if p.Type != mount.TypeBind {
		return nil
	}
	if p.ReadonlyForceRecursive && !recursiveReadonly {
		return invalid("invalid mount config for type %q: ReadOnlyForceRecursive is not supported by the kernel", p.Type)
	}
	_, err := os.Stat(p.Source)
	switch {
	case err == nil, p.CreateSource && errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return invalid("invalid mount config for type %q: bind source path does not exist: %s", p.Type, p.Source)
	}
	return invalid("invalid mount config for type %q: %v", p.Type, err)
}

// Reserve says at boot which volumes a container has, and whether it has them
// mounted. A volume that is gone is told in the log: the container's next start
// makes it again.
func (s *Store) Reserve(id string, cfg *container.Config, hc *container.HostConfig, from []container.MountPoint, running bool) error {
	points, err := Parse(cfg, hc, from)
	if err != nil {
		return err
	}
	for _, p := range points {
		if p.Type != mount.TypeVolume {
			continue
		}
		name := p.volume(id).Name
		if !s.catalog.reserve(id, name, running) {
			s.logger.Warn("a container's volume is gone", "container", id, "volume", name)
		}
	}
	return nil
}

// Release forgets a container that is removed. anonymous removes its volumes
// without a name that no other container has.
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
