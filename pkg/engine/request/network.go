package request

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// wantedNetworks are the endpoints asked for: the network mode's, and those of
// the networking configuration. Like Docker it leaves it to the start to refuse
// those that do not exist: clients take a 404 of create for a missing image.
func (p *Plan) wantedNetworks(hc *ctypes.HostConfig, nc *network.NetworkingConfig) (map[string]*network.EndpointSettings, error) {
	asked := map[string]*network.EndpointSettings{}
	if nc != nil {
		for name, ep := range nc.EndpointsConfig {
			asked[name] = ep
		}
	}
	mode := string(hc.NetworkMode)
	if _, ok := asked["default"]; ok && mode == network.NetworkBridge {
		asked[mode] = asked["default"]
		delete(asked, "default")
	}
	if err := p.checkEndpoints(asked); err != nil {
		return nil, err
	}
	if hc.NetworkMode.IsContainer() {
		return nil, nil // they are without effect, as Docker has it
	}
	if !p.names(asked, mode) {
		asked[mode] = &network.EndpointSettings{}
	}
	out := make(map[string]*network.EndpointSettings, len(asked))
	for name, ep := range asked {
		settings := ep.Copy()
		n, err := p.Networks.Lookup(name)
		switch {
		case errdefs.IsNotFound(err):
			out[name] = settings // may exist by the time of the start
		case err != nil:
			return nil, err
		default:
			settings.NetworkID = n.ID
			out[n.Name] = settings
		}
	}
	return out, checkTogether(hc.NetworkMode, out)
}

// sharedNetwork is what Docker says of a network beside a shared one.
const sharedNetwork = "container sharing network namespace with another container or host cannot be connected to any other network"

var errNoEndpoint = errdefs.ErrInvalidArgument.WithMessage("EndpointsConfig is nil")

// checkEndpoints refuses settings that the networks do not allow, and tells of all. What
// depends on a network that is not there yet is checked by the start.
func (p *Plan) checkEndpoints(asked map[string]*network.EndpointSettings) error {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		err := errNoEndpoint
		if asked[name] != nil {
			err = p.Networks.Check(name, asked[name])
		}
		switch {
		case errdefs.IsInvalidArgument(err):
			all = append(all, fmt.Sprintf("invalid config for network %s: %v", name, err))
		case err != nil && !errdefs.IsNotFound(err):
			return err
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return errdefs.ErrInvalidArgument.WithMessage(all[0])
	}
	for i, mistake := range all {
		all[i] = "* " + strings.ReplaceAll(mistake, "\n", "\n\t")
	}
	return errdefs.ErrInvalidArgument.WithMessage(strings.Join(all, "\n"))
}

// checkTogether refuses networks that exclude others.
func checkTogether(mode ctypes.NetworkMode, asked map[string]*network.EndpointSettings) error {
	if len(asked) < 2 {
		return nil
	}
	_, host := asked[network.NetworkHost]
	_, none := asked[network.NetworkNone]
	switch {
	case host && !mode.IsHost():
		return errdefs.ErrInvalidArgument.WithMessage("cannot connect container to host network - container must be created in host network mode")
	case host:
		return errdefs.ErrInvalidArgument.WithMessage(sharedNetwork)
	case none:
		return errdefs.ErrInvalidArgument.WithMessage("container cannot be connected to multiple networks with one of the networks in private (none) mode")
	}
	return nil
}

// names says whether the network that ref means is among asked, by whatever name.
func (p *Plan) names(asked map[string]*network.EndpointSettings, ref string) bool {
	if _, ok := asked[ref]; ok {
		return true
	}
	n, err := p.Networks.Lookup(ref)
	if err != nil {
		return false
	}
	for other := range asked {
		if o, err := p.Networks.Lookup(other); err == nil && o.ID == n.ID {
			return true
		}
	}
	return false
}

// Ports are the bindings asked for; with -P, every exposed port that has
// none gets a random one.
func Ports(r *container.Record) (network.PortMap, error) {
	out := network.PortMap{}
	for port, bindings := range r.HostConfig.PortBindings {
		if port.Num() == 0 {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid port specification: %q", port))
		}
		for _, b := range bindings {
			if err := checkHostPort(b.HostPort); err != nil {
				return nil, err
			}
		}
		out[port] = bindings
		if len(bindings) == 0 {
			out[port] = []network.PortBinding{{}}
		}
	}
	if r.HostConfig.PublishAllPorts {
		for port := range r.Config.ExposedPorts {
			if len(out[port]) == 0 {
				out[port] = []network.PortBinding{{}}
			}
		}
	}
	if len(out) > 0 && (r.HostConfig.NetworkMode.IsHost() || r.HostConfig.NetworkMode.IsNone()) {
		return nil, nil // accepted and without effect, as Docker has it
	}
	return out, nil
}

// checkHostPort accepts "", a port and a range.
func checkHostPort(s string) error {
	if s == "" {
		return nil
	}
	if _, err := network.ParsePortRange(s + "/tcp"); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid port specification: %q", s))
	}
	return nil
}
