package volumes

import (
	"context"
	"errors"
	"os"

	"github.com/berth-engine/berth/pkg/volumes/points"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Mounts makes ready what a container that starts mounts, and describes it for
// the runtime: volumes that are gone are made again (empty), those with a
// device are mounted, folders for -v are made. Unmount undoes it; so does a
// failure.
func (s *Store) Mounts(ctx context.Context, id string, cfg *container.Config, hc *container.HostConfig, from []mount.Mount) ([]specs.Mount, error) {
	all, err := s.parser.Parse(cfg, hc, from)
	if err != nil {
		return nil, err
	}
	out, err := s.mounter.mounts(ctx, user{id: id, ref: id}, id, all)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if p.Type != mount.TypeVolume {
			continue
		}
		if e, err := s.catalog.find(wanted(p, id).Name); err == nil {
			s.news.mounted(id, e.meta, p)
		}
	}
	return out, nil
}

// Borrow is Mounts for somebody who looks at what a container has, whether it runs
// or not, until he gives it back.
func (s *Store) Borrow(ctx context.Context, id string, cfg *container.Config, hc *container.HostConfig, from []mount.Mount) ([]specs.Mount, func() error, error) {
	all, err := s.parser.Parse(cfg, hc, from)
	if err != nil {
		return nil, nil, err
	}
	u := user{id: id + "-" + unique()}
	mounts, err := s.mounter.mounts(ctx, u, id, all)
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
	catalog *catalog
	images  OpenImage
	places  places

	recursiveReadonly bool // the kernel has mount_setattr (5.12)
}

// user has volumes mounted. ref is the container that keeps the volumes from being
// removed because of that, "" if the user has none of his own.
type user struct{ id, ref string }

// mounts makes ready the mounts of container id for a user.
func (m *mounter) mounts(ctx context.Context, u user, id string, all []points.Point) (out []specs.Mount, err error) {
	defer func() {
		if err != nil {
			_, undone := m.giveBack(context.WithoutCancel(ctx), u.id)
			err = errors.Join(err, undone)
		}
	}()
	images := 0
	for i, p := range all {
		var mounted specs.Mount
		switch p.Type {
		case mount.TypeBind:
			mounted, err = m.bindMount(p)
		case mount.TypeVolume:
			mounted, err = m.volumeMount(ctx, u, id, i, p)
		case mount.TypeImage:
			mounted, err = m.imageMount(ctx, m.places.of(u.id, i), id, images, p)
			images++
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

func (m *mounter) volumeMount(ctx context.Context, u user, id string, index int, p points.Point) (specs.Mount, error) {
	e, err := m.use(ctx, u, wanted(p, id))
	if err != nil {
		return specs.Mount{}, err
	}
	out := specs.Mount{Type: "bind", Source: e.data(), Options: []string{"rbind", "rprivate"}}
	if p.Propagation != "" {
		out.Options[1] = string(p.Propagation)
	}
	if p.Subpath != "" {
		if out.Source, err = m.part(u, index, e, p.Subpath); err != nil {
			return specs.Mount{}, err
		}
	}
	if !p.RW {
		out.Options = append(out.Options, "ro")
	}
	return out, nil
}

// part mounts a path of a volume where only we can change what is there.
func (m *mounter) part(u user, index int, e *entry, sub string) (string, error) {
	dir, err := os.Open(e.data())
	if err != nil {
		return "", err
	}
	defer dir.Close()
	at := m.places.of(u.id, index)
	return at, mountPart(at, dir, e.data(), sub)
}

// imageMount mounts the n-th image of container id, or a path in it, at a place of
// ours: the runtime takes no more than a page of names of layers.
func (m *mounter) imageMount(ctx context.Context, at, id string, n int, p points.Point) (specs.Mount, error) {
	root, err := m.images(ctx, id, n)
	if err != nil {
		return specs.Mount{}, err
	}
	defer root.Close()
	if p.Subpath == "" {
		err = mountDetached(at, root)
	} else {
		err = mountPartDetached(at, root, p.Name, p.Subpath)
	}
	return specs.Mount{Type: "bind", Source: at, Options: []string{"rbind", "rprivate", "ro"}}, err
}
