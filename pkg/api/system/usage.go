package system

import (
	"net/http"
	"slices"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/api/containers"
	"github.com/berth-engine/berth/pkg/api/images"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
)

func (h handlers) getUsage(w http.ResponseWriter, r *api.Request) error {
	var kinds []system.DiskUsageObject
	for _, t := range r.Query["type"] {
		kind := system.DiskUsageObject(t)
		if !slices.Contains([]system.DiskUsageObject{system.ContainerObject, system.ImageObject, system.VolumeObject, system.BuildCacheObject}, kind) {
			return api.Invalid("unknown object type: %s", t)
		}
		kinds = append(kinds, kind)
	}
	if r.Version < api.V1(42) {
		kinds = nil // the parameter came with API 1.42
	}
	u, err := h.backend.Usage(r.Context(), kinds)
	if err != nil {
		return err
	}
	if r.Version < api.V1(52) {
		return api.WriteJSON(w, http.StatusOK, oldUsage(u, r.Version))
	}
	if !r.Bool("verbose") {
		withoutItems(&u)
	}
	return api.WriteJSON(w, http.StatusOK, u)
}

// withoutItems leaves the sums.
func withoutItems(u *system.DiskUsage) {
	u.ContainerUsage = without(u.ContainerUsage, func(c *container.DiskUsage) { c.Items = nil })
	u.ImageUsage = without(u.ImageUsage, func(i *image.DiskUsage) { i.Items = nil })
	u.VolumeUsage = without(u.VolumeUsage, func(v *volume.DiskUsage) { v.Items = nil })
	u.BuildCacheUsage = without(u.BuildCacheUsage, func(b *build.DiskUsage) { b.Items = nil })
}

// without changes a copy: others may have been given the same measurement.
func without[T any](usage *T, clear func(*T)) *T {
	if usage == nil {
		return nil
	}
	sums := *usage
	clear(&sums)
	return &sums
}

// oldUsage is the shape up to API 1.51: lists, that of what was not asked for
// null, and the sum of the layers.
func oldUsage(u system.DiskUsage, v api.Version) any {
	out := struct {
		LayersSize                              int64
		Images, Containers, Volumes, BuildCache any
		BuilderSize                             *int64 `json:",omitempty"` // up to 1.41
	}{}
	if i := u.ImageUsage; i != nil {
		out.LayersSize, out.Images = i.TotalSize, images.ConvertSummaries(slices.Clone(i.Items), v)
	}
	if c := u.ContainerUsage; c != nil {
		out.Containers = containers.ConvertList(slices.Clone(c.Items), v)
	}
	if vol := u.VolumeUsage; vol != nil {
		out.Volumes = append([]volume.Volume{}, vol.Items...)
	}
	if b := u.BuildCacheUsage; b != nil {
		out.BuildCache = append([]build.CacheRecord{}, b.Items...)
		if v < api.V1(42) {
			out.BuilderSize = &b.TotalSize
		}
	}
	return out
}
