package system

import (
	"context"
	"slices"
	"sync"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
)

// Disk lists what takes space, with sizes.
type Disk struct {
	Containers func(ctx context.Context) ([]container.Summary, error) // all, with SizeRw
	Images     func(ctx context.Context) (all []image.Summary, bytes int64, err error)
	Volumes    func(ctx context.Context) ([]volume.Volume, error) // with UsageData
	Cache      func(ctx context.Context) ([]build.CacheRecord, error)
}

// Usage is GET /system/df with all items, for the kinds of objects that are asked
// for; none are all. What several clients ask for at the same time is measured
// once, and a client that leaves does not make the next one begin anew: a volume of
// a million files takes its time.
func (s *System) Usage(ctx context.Context, kinds []system.DiskUsageObject) (system.DiskUsage, error) {
	var u system.DiskUsage
	for _, k := range []struct {
		kind    system.DiskUsageObject
		measure *measurement
		result  func(any)
	}{
		{system.ImageObject, &s.images, func(v any) { u.ImageUsage = v.(*image.DiskUsage) }},
		{system.ContainerObject, &s.containers, func(v any) { u.ContainerUsage = v.(*container.DiskUsage) }},
		{system.VolumeObject, &s.volumes, func(v any) { u.VolumeUsage = v.(*volume.DiskUsage) }},
		{system.BuildCacheObject, &s.cache, func(v any) { u.BuildCacheUsage = v.(*build.DiskUsage) }},
	} {
		if len(kinds) > 0 && !slices.Contains(kinds, k.kind) {
			continue
		}
		v, err := k.measure.get(ctx)
		if err != nil {
			return system.DiskUsage{}, err
		}
		k.result(v)
	}
	return u, nil
}

// measurement is one that is shared by all who ask while it is under way.
type measurement struct {
	take func(ctx context.Context) (any, error)

	mu  sync.Mutex // guards now
	now *taking
}

type taking struct {
	done  chan struct{} // closed when the rest is set
	value any
	err   error
}

func (m *measurement) get(ctx context.Context) (any, error) {
	m.mu.Lock()
	t := m.now
	if t == nil {
		t = &taking{done: make(chan struct{})}
		m.now = t
		go m.run(context.WithoutCancel(ctx), t)
	}
	m.mu.Unlock()
	select {
	case <-t.done:
		return t.value, t.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (m *measurement) run(ctx context.Context, t *taking) {
	t.value, t.err = m.take(ctx)
	m.mu.Lock()
	m.now = nil
	m.mu.Unlock()
	close(t.done)
}

func (d Disk) containers(ctx context.Context) (any, error) {
	all, err := d.Containers(ctx)
	return containerUsage(all), err
}

func (d Disk) images(ctx context.Context) (any, error) {
	all, bytes, err := d.Images(ctx)
	return imageUsage(all, bytes), err
}

func (d Disk) volumes(ctx context.Context) (any, error) {
	all, err := d.Volumes(ctx)
	return volumeUsage(all), err
}

func (d Disk) cache(ctx context.Context) (any, error) {
	all, err := d.Cache(ctx)
	return cacheUsage(all), err
}

func containerUsage(all []container.Summary) *container.DiskUsage {
	u := &container.DiskUsage{Items: all, TotalCount: int64(len(all))}
	for _, c := range all {
		u.TotalSize += c.SizeRw
		switch c.State {
		case container.StateRunning, container.StatePaused, container.StateRestarting:
			u.ActiveCount++
		default:
			u.Reclaimable += c.SizeRw
		}
	}
	return u
}

// imageUsage: what images in use have for themselves is not reclaimable. bytes is
// what all take, each layer once.
func imageUsage(all []image.Summary, bytes int64) *image.DiskUsage {
	u := &image.DiskUsage{Items: all, TotalCount: int64(len(all)), TotalSize: bytes, Reclaimable: bytes}
	for _, i := range all {
		if i.Containers > 0 {
			u.ActiveCount++
			u.Reclaimable -= i.Size - max(i.SharedSize, 0)
		}
	}
	u.Reclaimable = max(u.Reclaimable, 0)
	return u
}

func volumeUsage(all []volume.Volume) *volume.DiskUsage {
	u := &volume.DiskUsage{Items: all, TotalCount: int64(len(all))}
	for _, v := range all {
		if v.UsageData == nil || v.UsageData.Size < 0 {
			continue
		}
		u.TotalSize += v.UsageData.Size
		if v.UsageData.RefCount > 0 {
			u.ActiveCount++
		} else {
			u.Reclaimable += v.UsageData.Size
		}
	}
	return u
}

// cacheUsage: shared records are images' layers, and counted there.
func cacheUsage(all []build.CacheRecord) *build.DiskUsage {
	u := &build.DiskUsage{Items: all, TotalCount: int64(len(all))}
	for _, r := range all {
		if r.InUse {
			u.ActiveCount++
		}
		if r.Shared {
			continue
		}
		u.TotalSize += r.Size
		if !r.InUse {
			u.Reclaimable += r.Size
		}
	}
	return u
}
