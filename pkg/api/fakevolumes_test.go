package api_test

import (
	"context"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/volume"
)

// fakeVolumes has one volume, "data".
type fakeVolumes struct {
	*journal
	pruned filters.Args
}

func aVolume(name string) volume.Volume {
	return volume.Volume{Name: name, Driver: "local", Mountpoint: "/x", Scope: "local", Labels: map[string]string{}, Options: map[string]string{}}
}

func (f *fakeVolumes) List(args filters.Args) ([]volume.Volume, error) {
	f.note("List", args)
	return []volume.Volume{aVolume("data")}, nil
}

func (f *fakeVolumes) Inspect(name string) (volume.Volume, error) {
	f.note("Inspect", name)
	if name != "data" {
		return volume.Volume{}, errdefs.ErrNotFound.WithMessage("get " + name + ": no such volume")
	}
	return aVolume(name), nil
}

func (f *fakeVolumes) Create(_ context.Context, r volume.CreateRequest) (volume.Volume, error) {
	f.note("Create", r)
	return aVolume(r.Name), nil
}

func (f *fakeVolumes) Remove(_ context.Context, name string, force bool) error {
	f.note("Remove", name, force)
	return nil
}

func (f *fakeVolumes) Prune(_ context.Context, a filters.Args) (volume.PruneReport, error) {
	f.note("Prune", a)
	f.pruned = a
	return volume.PruneReport{VolumesDeleted: []string{"data"}, SpaceReclaimed: 1}, nil
}
