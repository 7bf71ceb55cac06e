// Package define turns the request for a network into its definition: it checks
// and completes what was asked for, by Docker's rules and in its words. Nothing
// here looks at the host or changes it.
package define

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// namePattern is CNI's for names of networks (containernetworking/cni
// pkg/utils); it keeps them usable as file names, too.
var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// ValidName says whether a network can have the name s.
func ValidName(s string) bool { return len(s) <= 128 && namePattern.MatchString(s) }

// Predefined says whether a network of this name always exists.
func Predefined(name string) bool {
	switch name {
	case network.NetworkBridge, network.NetworkHost, network.NetworkNone, network.NetworkDefault:
		return true
	}
	return false
}

// New is the definition of the network that q asks for, without ID and without
// the subnets that are to be chosen. drivers are those that networks can be
// made of; config finds a configuration-only network by its name.
func New(q network.CreateRequest, drivers []string, config func(name string) (network.Network, bool)) (network.Network, error) {
	if q.Name == "" {
		return network.Network{}, errdefs.ErrInvalidArgument.WithMessage("invalid name: name is empty")
	}
	if Predefined(q.Name) {
		return network.Network{}, errdefs.ErrPermissionDenied.WithMessage(
			fmt.Sprintf("operation is not permitted on predefined %s network ", q.Name))
	}
	if !ValidName(q.Name) {
		return network.Network{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"invalid network name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, at most 128 of them", q.Name))
	}
	n, err := base(q)
	if err != nil {
		return n, err
	}
	if q.ConfigFrom != nil && q.ConfigFrom.Network != "" {
		if err := inherit(&n, q, config); err != nil {
			return n, err
		}
	}
	if q.ConfigOnly {
		if q.Ingress || q.Internal || q.Attachable || q.Scope != "" {
			return n, errdefs.ErrPermissionDenied.WithMessage("configuration network can only contain network specific fields. " +
				"Network operator fields like [ ingress | internal | attachable | scope ] are not supported.")
		}
		n.Driver, n.Scope = DriverNull, "local"
		return n, validateIPAM(&n)
	}
	if err := validate(&n, drivers); err != nil {
		return n, err
	}
	return n, validateIPAM(&n)
}

// base is q with its defaults.
func base(q network.CreateRequest) (network.Network, error) {
	n := network.Network{
		Name: q.Name, Created: time.Now().UTC(), Scope: q.Scope, Driver: q.Driver, EnableIPv4: true,
		Internal: q.Internal, Attachable: q.Attachable, Ingress: q.Ingress, ConfigOnly: q.ConfigOnly,
		Options: map[string]string{}, Labels: map[string]string{}, IPAM: network.IPAM{Driver: "default"},
	}
	maps.Copy(n.Options, q.Options)
	maps.Copy(n.Labels, q.Labels)
	for _, f := range []struct {
		option string
		asked  *bool
		out    *bool
	}{{optEnableIPv4, q.EnableIPv4, &n.EnableIPv4}, {optEnableIPv6, q.EnableIPv6, &n.EnableIPv6}} {
		s, isOption := n.Options[f.option]
		if f.asked != nil {
			*f.out = *f.asked
			delete(n.Options, f.option)
			continue
		}
		if !isOption {
			continue
		}
		v, err := strconv.ParseBool(s)
		if err != nil {
			return n, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("driver-opt %q is not a valid bool", f.option))
		}
		*f.out = v
	}
	if q.IPAM != nil {
		n.IPAM.Options, n.IPAM.Config = q.IPAM.Options, slices.Clone(q.IPAM.Config)
		if q.IPAM.Driver != "" {
			n.IPAM.Driver = q.IPAM.Driver
		}
	}
	if !n.EnableIPv6 { // Docker leaves out what it has no use for
		n.IPAM.Config = slices.DeleteFunc(n.IPAM.Config, func(c network.IPAMConfig) bool {
			return c.Subnet.IsValid() && c.Subnet.Addr().Is6()
		})
	}
	return n, nil
}

// inherit takes the network's own fields from a configuration-only one.
func inherit(n *network.Network, q network.CreateRequest, config func(string) (network.Network, bool)) error {
	switch {
	case q.ConfigOnly:
		return errdefs.ErrPermissionDenied.WithMessage("a configuration network cannot depend on another configuration network")
	case n.EnableIPv6 || len(n.Labels) > 0 || len(n.IPAM.Config) > 0 || len(n.IPAM.Options) > 0 || n.IPAM.Driver != "default":
		return errdefs.ErrPermissionDenied.WithMessage(
			"user specified configurations are not supported if the network depends on a configuration network")
	case len(n.Options) > 0:
		return errdefs.ErrPermissionDenied.WithMessage(
			"network driver options are not supported if the network depends on a configuration network")
	}
	c, ok := config(q.ConfigFrom.Network)
	if !ok {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("configuration network %q not found", q.ConfigFrom.Network))
	}
	n.ConfigFrom.Network = c.Name
	n.EnableIPv4, n.EnableIPv6, n.IPAM = c.EnableIPv4, c.EnableIPv6, c.IPAM
	n.IPAM.Config = slices.Clone(c.IPAM.Config)
	maps.Copy(n.Options, c.Options)
	maps.Copy(n.Labels, c.Labels)
	return nil
}

// validate checks driver, scope and options.
func validate(n *network.Network, drivers []string) error {
	if n.Driver == "" {
		n.Driver = DriverBridge
	}
	forbidden := ""
	switch {
	case n.Driver == "overlay":
		forbidden = `This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`
	case n.Driver == DriverHost || n.Driver == DriverNull:
		forbidden = fmt.Sprintf("only one instance of %q network is allowed", n.Driver)
	case n.Ingress:
		forbidden = "Ingress network can only be global scope network"
	case n.Scope == "swarm" || n.Scope == "global":
		forbidden = "cannot create a swarm scoped network when swarm is not active"
	}
	if forbidden != "" {
		return errdefs.ErrPermissionDenied.WithMessage(forbidden)
	}
	if !slices.Contains(drivers, n.Driver) {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("plugin %q not found", n.Driver))
	}
	if n.Scope != "" && n.Scope != "local" {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid network scope %q", n.Scope))
	}
	n.Scope = "local"
	if !n.EnableIPv4 && !n.EnableIPv6 {
		return errdefs.ErrInvalidArgument.WithMessage("IPv4 or IPv6 must be enabled")
	}
	switch n.Driver {
	case DriverBridge:
		_, err := ParseBridge(n.Options, n.Internal)
		return err
	case DriverMacvlan, DriverIPvlan:
		l, err := ParseLinked(n.Driver, n.Options)
		n.Internal = n.Internal || l.Parent == "" // it leads nowhere
		return err
	}
	return nil
}
