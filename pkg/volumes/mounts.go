package volumes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Mounts makes ready what a container that starts mounts, and describes it for
// the runtime: volumes that are gone are made again (empty), those with a
// device are mounted, folders for -v are made. Unmount undoes it; so does a
// failure.
func (s *Store) Mounts(ctx context.Context, id string, cfg *container.Config, hc *container.HostConfig, from []container.MountPoint) ([]specs.Mount, error) {
	points, err := Parse(cfg, hc, from)
	if err != nil {
		return nil, err
	}
	out, err := s.mounts(ctx, user{id: id, ref: id}, id, points)
	if err != nil {
		return nil, err
	}
	for _, p := range points {
		if p.Type != mount.TypeVolume {
			continue
		}
		if e, err := s.catalog.find(p.volume(id).Name); err == nil {
			s.mounted(id, e, p)
		}
	}
	return out, nil
}

// Borrow is Mounts for somebody who looks at what a container has, whether it runs
// or not, until he gives it back.
func (s *Store) Borrow(ctx context.Context, id string, cfg *container.Config, hc *container.HostConfig, from []container.MountPoint) ([]specs.Mount, func() error, error) {
	points, err := Parse(cfg, hc, from)
	if err != nil {
		return nil, nil, err
	}
	u := user{id: id + "-" + unique()}
	mounts, err := s.mounts(ctx, u, id, points)
	if err != nil {
		return nil, nil, err
	}
	return mounts, func() error {
		_, err := s.giveBack(context.WithoutCancel(ctx), u.id)
		return err
	}, nil
}

// user has volumes mounted. ref is the container that keeps the volumes from being
// removed because of that, "" if the user has none of his own.
type user struct{ id, ref string }

// mounts makes ready the mounts of container id for a user.
func (s *Store) mounts(ctx context.Context, u user, id string, points []Point) (out []specs.Mount, err error) {
	defer func() {
		if err != nil {
			_, undone := s.giveBack(context.WithoutCancel(ctx), u.id)
			err = errors.Join(err, undone)
		}
	}()
	for i, p := range points {
		var m specs.Mount
		switch p.Type {
		case mount.TypeBind:
			m, err = s.bindMount(p)
		case mount.TypeVolume:
			m, err = s.volumeMount(ctx, u, id, i, p)
		default:
			m = specs.Mount{Type: "tmpfs", Source: "tmpfs", Options: p.Tmpfs}
		}
		if err != nil {
			return nil, err
		}
		m.Destination = p.Destination
		out = append(out, m)
	}
	return out, nil
}

func (s *Store) bindMount(p Point) (specs.Mount, error) {
	if err := checkSource(p, s.recursiveReadonly); err != nil {
		return specs.Mount{}, err
	}
	if p.CreateSource {
		if err := makeSource(p.Source); err != nil {
			return specs.Mount{}, err
		}
	}
	if err := checkPropagation(p); err != nil {
		return specs.Mount{}, err
	}
	m := specs.Mount{Type: "bind", Source: p.Source, Options: []string{"rbind", string(p.Propagation)}}
	if p.NonRecursive {
		m.Options[0] = "bind"
	}
	if !p.RW {
		m.Options = append(m.Options, "ro")
		// Without rro what is mounted below the source stays writable.
		if !p.NonRecursive && !p.ReadonlyNonRecursive && s.recursiveReadonly {
			m.Options = append(m.Options, "rro")
		}
	}
	return m, nil
}

// makeSource makes a -v's folder, as Docker does, owned by root.
func makeSource(p string) error {
	if _, err := os.Stat(p); err == nil {
		return nil
	}
	if err := os.MkdirAll(p, 0o755); err != nil {
		return fmt.Errorf("error while creating mount source path '%s': %w", p, err)
	}
	return nil
}

// checkPropagation: the kernel passes mount events on only from a mount that is
// itself shared, or a slave.
func checkPropagation(p Point) error {
	shared := strings.HasSuffix(string(p.Propagation), "shared")
	slave := strings.HasSuffix(string(p.Propagation), "slave")
	if !shared && !slave {
		return nil
	}
	source, err := filepath.EvalSymlinks(p.Source)
	if err != nil {
		return err
	}
	infos, err := mountinfo.GetMounts(mountinfo.ParentsFilter(source))
	if err != nil {
		return fmt.Errorf("looking up the mount of %s: %w", source, err)
	}
	at, optional := "", ""
	for _, i := range infos {
		// Of mounts on one place, the last is on top.
		if len(i.Mountpoint) >= len(at) {
			at, optional = i.Mountpoint, i.Optional
		}
	}
	switch {
	case strings.Contains(optional, "shared:"), slave && strings.Contains(optional, "master:"):
		return nil
	case shared:
		return invalid("path %s is mounted on %s but it is not a shared mount", p.Source, at)
	}
	return invalid("path %s is mounted on %s but it is not a shared or slave mount", p.Source, at)
}

func (s *Store) volumeMount(ctx context.Context, u user, id string, index int, p Point) (specs.Mount, error) {
	e, err := s.use(ctx, u, p.volume(id))
	if err != nil {
		return specs.Mount{}, err
	}
	m := specs.Mount{Type: "bind", Source: e.data(), Options: []string{"rbind", "rprivate"}}
	if p.Propagation != "" {
		m.Options[1] = string(p.Propagation)
	}
	if p.Subpath != "" {
		if m.Source, err = s.subpaths.mount(u.id, index, e, p.Subpath); err != nil {
			return specs.Mount{}, err
		}
	}
	if !p.RW {
		m.Options = append(m.Options, "ro")
	}
	return m, nil
}
