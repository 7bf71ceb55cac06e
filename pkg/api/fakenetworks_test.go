package api_test

import (
	"context"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// fakeNetworks has one network.
type fakeNetworks struct{}

func aNetwork() network.Network {
	return network.Network{Name: "bridge", ID: someID, Scope: "local", Driver: "bridge", EnableIPv4: true,
		IPAM: network.IPAM{Driver: "default"}, Created: time.Unix(1, 0)}
}

func (fakeNetworks) List(filters.Args) ([]network.Summary, error) {
	return []network.Summary{{Network: aNetwork()}}, nil
}

func (fakeNetworks) Inspect(ref string, _ bool, _ string) (network.Inspect, error) {
	if ref != "bridge" && ref != someID {
		return network.Inspect{}, errdefs.ErrNotFound.WithMessage("network " + ref + " not found")
	}
	return network.Inspect{Network: aNetwork(), Status: &network.Status{}}, nil
}

func (fakeNetworks) Create(_ context.Context, q network.CreateRequest) (network.CreateResponse, error) {
	if q.Name == "bridge" {
		return network.CreateResponse{}, errdefs.ErrPermissionDenied.WithMessage("operation is not permitted on predefined bridge network ")
	}
	return network.CreateResponse{ID: someID}, nil
}

func (f fakeNetworks) Remove(_ context.Context, ref string) error {
	_, err := f.Inspect(ref, false, "")
	return err
}

func (fakeNetworks) Prune(context.Context, filters.Args) (network.PruneReport, error) {
	return network.PruneReport{NetworksDeleted: []string{"mine"}}, nil
}

func (f fakeNetworks) Connect(ctx context.Context, ref, _ string, _ *network.EndpointSettings) error {
	return f.Remove(ctx, ref)
}

func (f fakeNetworks) Disconnect(ctx context.Context, ref, _ string, _ bool) error {
	return f.Remove(ctx, ref)
}
