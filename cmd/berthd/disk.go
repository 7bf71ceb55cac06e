package main

import (
	"context"

	"github.com/berth-engine/berth/pkg/engine"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/berth-engine/berth/pkg/system"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/volume"
)

// disk is what takes space, for system df.
func (p *parts) disk() system.Disk {
	return system.Disk{
		Containers: func(ctx context.Context) ([]container.Summary, error) {
			return p.engine.Reader().List(ctx, engine.ListOptions{All: true, Size: true})
		},
		Images: func(ctx context.Context) ([]image.Summary, int64, error) {
			all, err := p.images.Catalog().List(ctx, catalog.ListOptions{All: true, SharedSize: true})
			return all, p.images.Catalog().Size(), err
		},
		Volumes: p.volumeUsage,
		Cache:   p.builder.Cache,
	}
}

func (p *parts) volumeUsage(ctx context.Context) ([]volume.Volume, error) {
	all, err := p.volumes.List(nil)
	if err != nil {
		return nil, err
	}
	used := make([]volume.Volume, 0, len(all))
	for _, v := range all {
		v, err := p.volumes.Usage(ctx, v.Name)
		if errdefs.IsNotFound(err) { // removed meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		used = append(used, v)
	}
	return used, nil
}
