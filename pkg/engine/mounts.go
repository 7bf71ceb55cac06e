package engine

import (
	"context"
	"strings"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

// planMounts checks what was asked to be mounted and notes it in the record.
func (c *creator) planMounts(r *container.Record) (err error) {
	if r.From, err = c.inherited(r.HostConfig.VolumesFrom); err != nil {
		return err
	}
	points, err := c.Volumes.Points(r.ID, r.Config, r.HostConfig, r.From)
	r.Mounts = append([]ctypes.MountPoint{}, points...) // never null in answers
	return err
}

// inherited are the mounts of the containers of --volumes-from: "REF[:ro|rw]".
func (c *creator) inherited(refs []string) (out []ctypes.MountPoint, err error) {
	for _, ref := range refs {
		name, mode, _ := strings.Cut(ref, ":")
		if mode != "" && mode != "ro" && mode != "rw" && mode != "z" && mode != "Z" {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid mode: " + mode)
		}
		u, err := c.units.Find(name)
		if err != nil {
			return nil, err
		}
		for _, m := range u.View().Record.Mounts {
			if mode == "ro" {
				m.RW = false
			}
			out = append(out, m)
		}
	}
	return out, nil
}

// prepareVolumes makes the volumes of a new container and fills empty ones with
// what its image has there.
func (c *creator) prepareVolumes(ctx context.Context, r *container.Record) error {
	view := c.bundler.rootfs(ctx, r.ID)
	defer view.close()
	return c.Volumes.Prepare(ctx, r.ID, r.Config, r.HostConfig, r.From, view.openDir)
}
