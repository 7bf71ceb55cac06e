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
	out, err := s.mounter.mounts(ctx, user{id: id, ref: id}, id, points)
	if err != nil {
		return nil, err
	}
	for _, p := range points {
		if p.Type != mount.TypeVolume {
			continue
		}
		if e, err := s.catalog.find(p.volume(id).Name); err == nil {
			s.news.mounted(id, e.meta, p)
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
	mounts, err := s.mounter.mounts(ctx, u, id, points)
	if err != nil {
		return nil, nil, err
	}
	return mounts, func() error {
		_, err := s.mounter.giveBack(context.WithoutCancel(ctx), u.id)
		return err
	}, nil
}

// mounter makes ready what is mounted, for users.
type mounter struct {
	catalog  *catalog
	subpaths subpaths

	recursiveReadonly bool // the kernel has mount_setattr (5.12)
}

// user has volumes mounted. ref is the container that keeps the volumes from being
// removed because of that, "" if the user has none of his own.
type user struct{ id, ref string }

// mounts makes ready the mounts of container id for a user.
func (m *mounter) mounts(ctx context.Context, u user, id string, points []Point) (out []specs.Mount, err error) {
	defer func() {
		if err != nil {
			_, undone := m.giveBack(context.WithoutCancel(ctx), u.id)
			err = errors.Join(err, undone)
		}
	}()
	for i, p := range points {
		var mounted specs.Mount
		switch p.Type {
		case mount.TypeBind:
			mounted, err = m.bindMount(p)
		case mount.TypeVolume:
			mounted, err = m.volumeMount(ctx, u, id, i, p)
		default:
			mounted = specs.Mount{Type: "tmpfs", Source: "tmpfs", Options: p.Tmpfs}
		}
		if err != nil {
			return nil, err
		}
		mounted.Destination = p.Destination
		out = append(out, mounted)
	}
	return out, nil
}

func (m *mounter) bindMount(p Point) (specs.Mount, error) {
	if err := checkSource(p, m.recursiveReadonly); err != nil {
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
	out := specs.Mount{Type: "bind", Source: p.Source, Options: []string{"rbind", string(p.Propagation)}}
	if p.NonRecursive {
		out.Options[0] = "bind"
	}
	if !p.RW {
		out.Options = append(out.Options, "ro")
		// Without rro what is mounted below the source stays writable.
		if !p.NonRecursive && !p.ReadonlyNonRecursive && m.recursiveReadonly {
			out.Options = append(out.Options, "rro")
		}
	}
	return out, nil
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

func (m *mounter) volumeMount(ctx context.Context, u user, id string, index int, p Point) (specs.Mount, error) {
	e, err := m.use(ctx, u, p.volume(id))
	if err != nil {
		return specs.Mount{}, err
	}
	out := specs.Mount{Type: "bind", Source: e.data(), Options: []string{"rbind", "rprivate"}}
	if p.Propagation != "" {
		out.Options[1] = string(p.Propagation)
	}
	if p.Subpath != "" {
		if out.Source, err = m.subpaths.mount(u.id, index, e, p.Subpath); err != nil {
			return specs.Mount{}, err
		}
	}
	if !p.RW {
		out.Options = append(out.Options, "ro")
	}
	return out, nil
}
