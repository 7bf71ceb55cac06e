package request

import (
	"strings"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

// planMounts checks what was asked to be mounted and notes it in the record.
func (p *Plan) planMounts(r *container.Record) (err error) {
	if r.From, err = p.inherited(r.HostConfig.VolumesFrom); err != nil {
		return err
	}
	points, err := p.Volumes.Points(r.ID, r.Config, r.HostConfig, r.From)
	r.Mounts = append([]ctypes.MountPoint{}, points...) // never null in answers
	return err
}

// inherited are the mounts of the containers of --volumes-from: "REF[:ro|rw]".
func (p *Plan) inherited(refs []string) (out []ctypes.MountPoint, err error) {
	for _, ref := range refs {
		name, mode, _ := strings.Cut(ref, ":")
		if mode != "" && mode != "ro" && mode != "rw" && mode != "z" && mode != "Z" {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid mode: " + mode)
		}
		u, err := p.Units.Find(name)
		if err != nil {
			// Not as NotFound: clients take that for a missing image, and pull it.
			return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
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
