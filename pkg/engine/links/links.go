// Package links is --link: names of other containers on the default bridge, which
// has no name server. What a link means to a container is worked out here and
// changes nothing; a container keeps whom it links to by ID, so that a link outlives
// a rename.
package links

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/etc"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// Parse reads "container", "container:alias", "container:/alias" and the form that
// inspect shows, "/container:/parent/alias". InvalidArgument: it is none of them.
func Parse(s string) (name, alias string, err error) {
	name, alias, ok := strings.Cut(s, ":")
	if !ok {
		alias = name
	}
	if inspected := strings.HasPrefix(name, "/"); inspected || strings.HasPrefix(alias, "/") {
		name, alias = strings.TrimPrefix(name, "/"), path.Base(alias)
	}
	switch {
	case s == "":
		return "", "", errdefs.ErrInvalidArgument.WithMessage("empty string specified for links")
	case name == "", alias == "", strings.ContainsAny(alias, ":/ \t\r\n\x00#"):
		return "", "", errdefs.ErrInvalidArgument.WithMessage("bad format for links: " + s)
	}
	return name, alias, nil
}

// Resolve finds whom a new container links to. Links are of the default bridge
// alone: in a network of the user's they are its endpoint's. InvalidArgument: there
// is no such container (a 404 would have clients look for the image), or it has no
// network of its own.
func Resolve(hc *ctypes.HostConfig, find func(ref string) (*unit.Unit, error)) (out []container.Link, err error) {
	if hc.NetworkMode.IsUserDefined() {
		return nil, nil
	}
	for _, l := range hc.Links {
		name, alias, err := Parse(l)
		if err != nil {
			return nil, err
		}
		child, err := owner(name, find)
		if err != nil {
			return nil, err
		}
		if child.View().Record.HostConfig.NetworkMode.IsHost() {
			return nil, errdefs.ErrInvalidArgument.WithMessage("conflicting options: host type networking can't be used with links. This would result in undefined behavior")
		}
		if !slices.ContainsFunc(out, func(l container.Link) bool { return l.Alias == alias }) {
			out = append(out, container.Link{Alias: alias, ID: child.ID})
		}
	}
	return out, nil
}

// owner follows container:REF to who has the network.
func owner(ref string, find func(string) (*unit.Unit, error)) (*unit.Unit, error) {
	for seen := map[string]bool{}; ; {
		u, err := find(ref)
		if err != nil || seen[u.ID] {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("could not get container for %s: %v", ref, cmp.Or(err, errCircle)))
		}
		mode := u.View().Record.HostConfig.NetworkMode
		if !mode.IsContainer() {
			return u, nil
		}
		seen[u.ID], ref = true, mode.ConnectedContainer()
	}
}

var errCircle = errdefs.ErrInvalidArgument.WithMessage("its network is its own")

// Linked is what links give to a container that starts.
type Linked struct {
	Hosts []etc.HostLine
	Env   []string // as Docker gave it up to 28
}

// Start works out the links of r, whose own endpoint on the default bridge is own;
// nil is none, and then its links have no meaning. What was removed since is not
// linked to.
func Start(r *container.Record, own *network.EndpointSettings, get func(id string) *unit.Unit) (out Linked, err error) {
	if own == nil {
		return out, nil
	}
	for _, l := range r.Links {
		child := get(l.ID)
		if child == nil {
			continue
		}
		v := child.View()
		name := "/" + v.Record.Name
		if !v.Status.Live() {
			return out, fmt.Errorf("Cannot link to a non running container: %s AS %s", name, l.Full(r.Name))
		}
		ep := v.Status.Sandbox.Endpoints[network.NetworkBridge]
		if ep == nil {
			return out, fmt.Errorf("Cannot link to %s, as it does not belong to the default network", name)
		}
		out.Hosts = append(out.Hosts, Hosts(l, v.Record, ep)...)
		out.Env = append(out.Env, env(l.Full(r.Name), ep.IPAddress, v.Record.Config)...)
	}
	return out, nil
}

// Open are the ports that each of those that r links to exposes and publishes, by
// their IDs. They are to be reached where the default network's containers do not
// reach each other.
func Open(r *container.Record, get func(id string) *unit.Unit) map[string][]network.Port {
	out := map[string][]network.Port{}
	for _, l := range r.Links {
		child := get(l.ID)
		if child == nil {
			continue
		}
		record := child.View().Record
		all := network.PortSet{}
		maps.Copy(all, record.Config.ExposedPorts)
		for p := range record.HostConfig.PortBindings {
			all[p] = struct{}{}
		}
		if len(all) > 0 {
			out[l.ID] = sorted(all)
		}
	}
	return out
}

// Hosts are the lines for the container that l stands for: its alias, its own
// hostname and its name at each of its addresses.
func Hosts(l container.Link, child *container.Record, ep *network.EndpointSettings) (out []etc.HostLine) {
	names := l.Alias
	for _, n := range []string{child.Config.Hostname, child.Name} {
		if n != "" && n != l.Alias {
			names += " " + n
		}
	}
	for _, a := range []netip.Addr{ep.IPAddress, ep.GlobalIPv6Address} {
		if a.IsValid() {
			out = append(out, etc.HostLine{Addr: a, Names: names})
		}
	}
	return out
}

// env is the environment that a link brought until Docker 29, where the daemon's
// DOCKER_KEEP_DEPRECATED_LEGACY_LINKS_ENV_VARS=1 keeps it (Docker documentation,
// "Legacy container links"). full is "/parent/alias".
func env(full string, addr netip.Addr, child *ctypes.Config) (out []string) {
	alias := strings.ReplaceAll(strings.ToUpper(path.Base(full)), "-", "_")
	add := func(format string, args ...any) { out = append(out, alias+fmt.Sprintf(format, args...)) }
	ports := sorted(child.ExposedPorts)
	for i, first := 0, 0; i < len(ports); i++ {
		p := ports[i]
		key := func(p network.Port) string {
			return fmt.Sprintf("_PORT_%d_%s", p.Num(), strings.ToUpper(string(p.Proto())))
		}
		if i == 0 {
			add("_PORT=%s://%s:%d", p.Proto(), addr, p.Num())
		}
		add("%s=%s://%s:%d", key(p), p.Proto(), addr, p.Num())
		add("%s_ADDR=%s", key(p), addr)
		add("%s_PORT=%d", key(p), p.Num())
		add("%s_PROTO=%s", key(p), p.Proto())
		if i+1 < len(ports) && ports[i+1].Proto() == p.Proto() && ports[i+1].Num() == p.Num()+1 {
			continue // within a range
		}
		if start := ports[first]; start != p {
			add("%s_START=%s://%s:%d", key(start), p.Proto(), addr, start.Num())
			add("%s_PORT_START=%d", key(start), start.Num())
			add("%s_END=%s://%s:%d", key(start), p.Proto(), addr, p.Num())
			add("%s_PORT_END=%d", key(start), p.Num())
		}
		first = i + 1
	}
	add("_NAME=%s", full)
	for _, e := range child.Env {
		if name, value, ok := strings.Cut(e, "="); ok && name != "HOME" && name != "PATH" {
			add("_ENV_%s=%s", name, value)
		}
	}
	return out
}

// sorted has TCP first, then the order of numbers.
func sorted(set network.PortSet) []network.Port {
	return slices.SortedFunc(maps.Keys(set), func(a, b network.Port) int {
		if a.Proto() == b.Proto() {
			return cmp.Compare(a.Num(), b.Num())
		}
		if a.Proto() == network.TCP || b.Proto() != network.TCP && a.Proto() < b.Proto() {
			return -1
		}
		return 1
	})
}
