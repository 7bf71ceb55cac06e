package api_test

import (
	"context"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/volume"
)

// fakeVolumes has one volume, "data".
type fakeVolumes struct{ pruned filters.Args }

func aVolume(name string) volume.Volume {
	return volume.Volume{Name: name, Driver: "local", Mountpoint: "/x", Scope: "local", Labels: map[string]string{}, Options: map[string]string{}}
}

func (*fakeVolumes) List(filters.Args) ([]volume.Volume, error) {
	return []volume.Volume{aVolume("data")}, nil
}

func (*fakeVolumes) Inspect(name string) (volume.Volume, error) {
	if name != "data" {
		return volume.Volume{}, errdefs.ErrNotFound.WithMessage("get " + name + ": no such volume")
	}
	return aVolume(name), nil
}

func (*fakeVolumes) Create(_ context.Context, r volume.CreateRequest) (volume.Volume, error) {
	return aVolume(r.Name), nil
}

func (*fakeVolumes) Remove(context.Context, string, bool) error { return nil }

func (f *fakeVolumes) Prune(_ context.Context, a filters.Args) (volume.PruneReport, error) {
	f.pruned = a
	return volume.PruneReport{VolumesDeleted: []string{"data"}, SpaceReclaimed: 1}, nil
}
