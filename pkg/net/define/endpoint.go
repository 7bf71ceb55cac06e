package define

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// Names of an endpoint's driver options, as Docker has them.
const (
	OptSysctls = "com.docker.network.endpoint.sysctls"
	OptIfName  = "com.docker.network.endpoint.ifname"
)

// Endpoint is what the options of an endpoint say.
type Endpoint struct {
	IfName    string // "": the network's choice
	Sysctls   []Sysctl
	LinkLocal []netip.Prefix
}

// Sysctl is a setting of the endpoint's interface.
type Sysctl struct{ Family, Kind, Name, Value string }

// Path is the setting's below /proc/sys for an interface.
func (s Sysctl) Path(ifName string) string {
	return strings.Join([]string{"net", s.Family, s.Kind, ifName, s.Name}, "/")
}

// ParseEndpoint checks the settings of an endpoint on n. InvalidArgument, with
// all that is wrong, in Docker's words.
func ParseEndpoint(n network.Network, s *network.EndpointSettings) (Endpoint, error) {
	var e Endpoint
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	c := s.IPAMConfig
	if c == nil {
		c = &network.EndpointIPAMConfig{}
	}
	if Predefined(n.Name) || strings.HasPrefix(n.Name, "container:") { // Docker's mode of a shared network
		if c.IPv4Address.IsValid() || c.IPv6Address.IsValid() {
			fail("user-specified IP address is supported on user-defined networks only")
		}
		if len(s.Aliases) > 0 {
			fail("network-scoped aliases are only supported for user-defined networks")
		}
	}
	errs = append(errs, staticAddresses(n, c)...)
	for _, a := range c.LinkLocalIPs {
		a = a.Unmap()
		if !a.IsValid() || a.IsUnspecified() || a.Zone() != "" {
			fail("invalid link-local IP address: %s", a)
			continue
		}
		bits := 16 // of 169.254.0.0/16 (RFC 3927), and fe80::/64 (RFC 4291)
		if a.Is6() {
			bits = 64
		}
		e.LinkLocal = append(e.LinkLocal, netip.PrefixFrom(a, bits))
	}
	if m := s.MacAddress; len(m) > 0 && (len(m) != 6 || m[0]&1 != 0) {
		fail("invalid MAC address %s", m)
	}
	if e.IfName = s.DriverOpts[OptIfName]; e.IfName != "" && (!ifNamePattern.MatchString(e.IfName) || e.IfName == "lo") {
		fail("invalid interface name %q", e.IfName)
	}
	for _, v := range list(s.DriverOpts[OptSysctls]) {
		if sysctl, err := parseSysctl(v); err != nil {
			errs = append(errs, err)
		} else {
			e.Sysctls = append(e.Sysctls, sysctl)
		}
	}
	if len(errs) > 0 {
		return e, errdefs.ErrInvalidArgument.WithMessage("invalid endpoint settings:\n" + Sentences(errs))
	}
	return e, nil
}

// staticAddresses checks the addresses that were asked for.
func staticAddresses(n network.Network, c *network.EndpointIPAMConfig) (errs []error) {
	for _, want := range []struct {
		addr  netip.Addr
		is4   bool
		label string
	}{{c.IPv4Address.Unmap(), true, "IPv4"}, {c.IPv6Address, false, "IPv6"}} {
		a := want.addr
		if !a.IsValid() {
			continue
		}
		if a.Is4() != want.is4 || a.Is4In6() || a.IsUnspecified() || a.Zone() != "" {
			errs = append(errs, fmt.Errorf("invalid %s address: %s", want.label, a))
			continue
		}
		if !within(n, a) {
			errs = append(errs, fmt.Errorf("no configured subnet or ip-range contain the IP address %s", a))
		}
	}
	return errs
}

// within says whether a is of n's subnets; networks whose subnets are not known
// to us have their own opinion later.
func within(n network.Network, a netip.Addr) bool {
	for _, c := range n.IPAM.Config {
		if c.Subnet.Contains(a) {
			return true
		}
	}
	return len(n.IPAM.Config) == 0 && n.Driver != DriverHost && n.Driver != DriverNull
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// sysctlPattern is of net.X.Y.IFNAME.Z=V. Docker's command line turns option
// values into lower case.
var sysctlPattern = regexp.MustCompile(`^net\.(ipv4|ipv6|mpls)\.([a-z]+)\.(?:IFNAME|ifname)\.([a-z0-9_]+)=([^\n]*)$`)

func parseSysctl(s string) (Sysctl, error) {
	m := sysctlPattern.FindStringSubmatch(s)
	if m == nil {
		return Sysctl{}, errors.New("unrecognised network interface sysctl '" + s +
			"'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'")
	}
	return Sysctl{Family: m[1], Kind: m[2], Name: m[3], Value: m[4]}, nil
}
