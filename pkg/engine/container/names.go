package container

import (
	"slices"

	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// DNSNames is what the container is called on a network where it has aliases, in
// Docker's order: the first is what its addresses are called.
func (r *Record) DNSNames(aliases []string) []string {
	all := append([]string{r.Name}, aliases...)
	all = append(all, r.ID[:min(len(r.ID), 12)], r.Config.Hostname)
	var out []string
	for _, n := range all {
		if n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// Named is the endpoints asked for, with the names that the container has there.
// Docker's predefined networks have none.
func (r *Record) Named() map[string]*network.EndpointSettings {
	out := make(map[string]*network.EndpointSettings, len(r.Endpoints))
	for ref, e := range r.Endpoints {
		if e = e.Copy(); e != nil && ctypes.NetworkMode(ref).IsUserDefined() {
			e.DNSNames = r.DNSNames(e.Aliases)
		}
		out[ref] = e
	}
	return out
}
