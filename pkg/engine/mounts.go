package engine

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// planMounts checks what was asked to be mounted and notes it in the record.
func (e *Engine) planMounts(r *container.Record) (err error) {
	if r.From, err = e.inherited(r.HostConfig.VolumesFrom); err != nil {
		return err
	}
	points, err := e.Volumes.Points(r.ID, r.Config, r.HostConfig, r.From)
	r.Mounts = append([]ctypes.MountPoint{}, points...) // never null in answers
	return err
}

// inherited are the mounts of the containers of --volumes-from: "REF[:ro|rw]".
func (e *Engine) inherited(refs []string) (out []ctypes.MountPoint, err error) {
	for _, ref := range refs {
		name, mode, _ := strings.Cut(ref, ":")
		if mode != "" && mode != "ro" && mode != "rw" && mode != "z" && mode != "Z" {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid mode: " + mode)
		}
		u, err := e.units.find(name)
		if err != nil {
			return nil, err
		}
		for _, m := range u.view().record.Mounts {
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
func (e *Engine) prepareVolumes(ctx context.Context, r *container.Record) error {
	view := e.lazyRootfs(ctx, r.ID)
	defer view.close()
	return e.Volumes.Prepare(ctx, r.ID, r.Config, r.HostConfig, r.From, view.openDir)
}

// mounts makes a starting container's mounts ready.
func (e *Engine) mounts(ctx context.Context, r *container.Record) ([]specs.Mount, error) {
	return e.Volumes.Mounts(ctx, r.ID, r.Config, r.HostConfig, r.From)
}

// unmount releases what only a running container has mounted. Idempotent.
func (e *Engine) unmount(ctx context.Context, r *container.Record) error {
	err := e.Volumes.Unmount(ctx, r.ID)
	if r.HostConfig.IpcMode.IsShareable() {
		err = errors.Join(err, spec.UnmountShm(e.dir(r.ID)))
	}
	return err
}

// openDir opens a folder of the root filesystem as the container would see it.
func (v *lazyView) openDir(name string) (*os.File, error) {
	if err := v.ready(); err != nil {
		return nil, err
	}
	return v.root.OpenDir(name)
}
