package api_test

import (
	"context"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// fakeNetworks has one network.
type fakeNetworks struct{ *journal }

func aNetwork() network.Network {
	return network.Network{Name: "bridge", ID: someID, Scope: "local", Driver: "bridge", EnableIPv4: true,
		IPAM: network.IPAM{Driver: "default"}, Created: time.Unix(1, 0)}
}

func (f fakeNetworks) List(args filters.Args) ([]network.Summary, error) {
	f.note("List", args)
	return []network.Summary{{Network: aNetwork()}}, nil
}

func (f fakeNetworks) Inspect(ref string, verbose bool, scope string) (network.Inspect, error) {
	f.note("Inspect", ref, verbose, scope)
	if ref != "bridge" && ref != someID {
		return network.Inspect{}, errdefs.ErrNotFound.WithMessage("network " + ref + " not found")
	}
	return network.Inspect{Network: aNetwork(), Status: &network.Status{}}, nil
}

func (f fakeNetworks) Create(_ context.Context, q network.CreateRequest) (network.CreateResponse, error) {
	f.note("Create", q)
	if q.Name == "bridge" {
		return network.CreateResponse{}, errdefs.ErrPermissionDenied.WithMessage("operation is not permitted on predefined bridge network ")
	}
	return network.CreateResponse{ID: someID}, nil
}

func (f fakeNetworks) Remove(_ context.Context, ref string) error {
	f.note("Remove", ref)
	_, err := f.Inspect(ref, false, "")
	return err
}

func (f fakeNetworks) Prune(_ context.Context, args filters.Args) (network.PruneReport, error) {
	f.note("Prune", args)
	return network.PruneReport{NetworksDeleted: []string{"mine"}}, nil
}

func (f fakeNetworks) Connect(ctx context.Context, ref, container string, ep *network.EndpointSettings) error {
	f.note("Connect", ref, container, ep)
	return f.Remove(ctx, ref)
}

func (f fakeNetworks) Disconnect(ctx context.Context, ref, container string, force bool) error {
	f.note("Disconnect", ref, container, force)
	return f.Remove(ctx, ref)
}
