package request

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

// planMounts checks what was asked to be mounted and notes it in the record.
func (p *Plan) planMounts(ctx context.Context, r *container.Record) error {
	theirs, err := p.inherit(r)
	if err != nil {
		return err
	}
	points, err := p.Volumes.Points(r.ID, r.Config, r.HostConfig, r.Shared)
	if err != nil {
		return err
	}
	r.Mounts = append([]ctypes.MountPoint{}, points...) // never null in answers
	for _, m := range r.Mounts {
		if m.Type != mount.TypeImage {
			continue
		}
		img, ok := theirs[m.Destination]
		if asked(r.HostConfig, m.Destination) || !ok {
			found, err := p.Images.Resolve(ctx, m.Name, nil)
			if err != nil {
				return err
			}
			img.Image, img.Chain = found.ID, found.Chain
		}
		r.Images = append(r.Images, img)
	}
	return nil
}

// asked says whether the container mounts something there by its own --mount.
func asked(hc *ctypes.HostConfig, dest string) bool {
	return slices.ContainsFunc(hc.Mounts, func(m mount.Mount) bool { return path.Clean(m.Target) == dest })
}

// inherit takes over the mounts of the containers of --volumes-from, "REF[:MODE]",
// and tells of their images what they are, by destination.
func (p *Plan) inherit(r *container.Record) (map[string]container.MountedImage, error) {
	images := map[string]container.MountedImage{}
	for _, ref := range r.HostConfig.VolumesFrom {
		name, mode, _ := strings.Cut(ref, ":")
		if ref == "" {
			return nil, errdefs.ErrInvalidArgument.WithMessage("volumes-from specification cannot be an empty string")
		}
		readonly, ok := sharedMode(mode)
		if !ok {
			return nil, errdefs.ErrInvalidArgument.WithMessage("invalid mode: " + mode)
		}
		u, err := p.Units.Find(name)
		if err != nil {
			// Not as NotFound: clients take that for a missing image, and pull it.
			return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
		from := u.View().Record
		shared, err := p.Volumes.Shared(from.ID, from.Config, from.HostConfig, from.Shared)
		if err != nil {
			return nil, fmt.Errorf("mounts of container %s: %w", name, err)
		}
		n := 0
		for _, m := range from.LoosenShared(shared) {
			if m.Type == mount.TypeImage && n < len(from.Images) {
				images[m.Target] = from.Images[n]
				n++
			}
			m.ReadOnly = m.ReadOnly || readonly
			r.Shared = append(r.Shared, m)
		}
	}
	return images, nil
}

// sharedMode reads the mode of a --volumes-from: of each kind one at most. Labels and
// consistency are taken, and do nothing.
func sharedMode(mode string) (readonly, ok bool) {
	if mode == "" {
		return false, true
	}
	kinds := map[string]string{"ro": "rw", "rw": "rw", "z": "label", "Z": "label", "consistent": "consistency", "cached": "consistency", "delegated": "consistency"}
	seen := map[string]bool{}
	for o := range strings.SplitSeq(mode, ",") {
		kind := kinds[o]
		if kind == "" || seen[kind] {
			return false, false
		}
		seen[kind] = true
		readonly = readonly || o == "ro"
	}
	return readonly, true
}
