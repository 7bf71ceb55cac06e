package define

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// Drivers, as Docker names them.
const (
	DriverBridge  = "bridge"
	DriverHost    = "host"
	DriverNull    = "null"
	DriverMacvlan = "macvlan"
	DriverIPvlan  = "ipvlan"
)

// Names of driver options, as Docker has them.
const (
	OptDefaultBridge = "com.docker.network.bridge.default_bridge"
	OptBridgeName    = "com.docker.network.bridge.name"
	OptICC           = "com.docker.network.bridge.enable_icc"
	OptMasquerade    = "com.docker.network.bridge.enable_ip_masquerade"
	OptHostBinding   = "com.docker.network.bridge.host_binding_ipv4"
	OptInhibitIPv4   = "com.docker.network.bridge.inhibit_ipv4"
	OptGatewayMode4  = "com.docker.network.bridge.gateway_mode_ipv4"
	OptGatewayMode6  = "com.docker.network.bridge.gateway_mode_ipv6"
	OptMTU           = "com.docker.network.driver.mtu"
	OptIfPrefix      = "com.docker.network.container_iface_prefix"
	optEnableIPv4    = "com.docker.network.enable_ipv4"
	optEnableIPv6    = "com.docker.network.enable_ipv6"
	optHostIPv4      = "com.docker.network.host_ipv4"
	optHostIPv6      = "com.docker.network.host_ipv6"
	optTrusted       = "com.docker.network.bridge.trusted_host_interfaces"
)

// Names of auxiliary addresses that containers' default route leads to, instead of to
// the bridge.
const (
	AuxGateway4 = "DefaultGatewayIPv4"
	AuxGateway6 = "DefaultGatewayIPv6"
)

// AuxGateway is the name of a's family.
func AuxGateway(a netip.Addr) string {
	if a.Is4() {
		return AuxGateway4
	}
	return AuxGateway6
}

// Bridge is what the options of a bridge network say.
type Bridge struct {
	Name         string // of the bridge; "" when none was asked for
	MTU          int    // 0: none was asked for
	ICC          bool
	Masquerade   bool
	HostIP       netip.Addr // where ports are published that name no address; zero: the daemon's
	IfPrefix     string     // of the names of containers' interfaces; "" is eth
	Inhibit4     bool       // the bridge does not have the gateway's IPv4 address: somebody else on it does
	Mode4, Mode6 GatewayMode
	Source       []netip.Addr // of what leaves the host, by family; none: the outgoing interface's
	Trusted      []string     // interfaces from which containers' own addresses are reached
}

// GatewayMode says how a network leads to other hosts, as Docker's option.
type GatewayMode string

// The gateway modes. Of an isolated network the bridge has no address.
const (
	ModeNAT         GatewayMode = "nat"
	ModeUnprotected GatewayMode = "nat-unprotected"
	ModeRouted      GatewayMode = "routed"
	ModeIsolated    GatewayMode = "isolated"
)

// Mode is that of the family of a.
func (b Bridge) Mode(a netip.Addr) GatewayMode {
	if a.Is4() {
		return b.Mode4
	}
	return b.Mode6
}

// ifNamePattern is of names that the kernel gives an interface and that need no
// quoting anywhere.
var ifNamePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$`)

// ParseBridge reads the options of a bridge network. Those that it does not
// know have no effect, as Docker has it.
func ParseBridge(o map[string]string, internal bool) (b Bridge, err error) {
	r := reader{options: o}
	b = Bridge{
		Name:       r.ifName(OptBridgeName, 15),
		MTU:        r.mtu(),
		ICC:        r.bool(OptICC, true),
		Masquerade: r.bool(OptMasquerade, true),
		HostIP:     r.addr(OptHostBinding),
		IfPrefix:   r.ifName(OptIfPrefix, 11), // leaves place for a number
		Inhibit4:   r.bool(OptInhibitIPv4, false),
		Mode4:      r.mode(OptGatewayMode4, internal),
		Mode6:      r.mode(OptGatewayMode6, internal),
	}
	for _, name := range []string{optHostIPv4, optHostIPv6} {
		if a := r.addr(name); a.IsValid() {
			if a.Is4() != (name == optHostIPv4) {
				r.fail(name, "invalid IP address")
			}
			b.Source = append(b.Source, a)
		}
	}
	if o[optTrusted] != "" {
		for _, dev := range strings.Split(o[optTrusted], ":") {
			if !ifNamePattern.MatchString(dev) {
				r.fail(optTrusted, "it is a list of interfaces with colons between them")
			}
			b.Trusted = append(b.Trusted, dev)
		}
	}
	return b, r.err
}

// CheckOptions reads the options that networks of each driver are to have by default.
func CheckOptions(byDriver map[string]map[string]string) error {
	for driver, options := range byDriver {
		var err error
		switch driver {
		case DriverBridge:
			_, err = ParseBridge(options, false)
		case DriverMacvlan, DriverIPvlan:
			_, err = ParseLinked(driver, options)
		default:
			err = errdefs.ErrNotFound.WithMessage(fmt.Sprintf("plugin %q not found", driver))
		}
		if err != nil {
			return fmt.Errorf("default options of networks: %w", err)
		}
	}
	return nil
}

// reader reads options and keeps the first error.
type reader struct {
	options map[string]string
	err     error
}

func (r *reader) fail(name, reason string) {
	if r.err == nil {
		r.err = errdefs.ErrInvalidArgument.WithMessage(
			fmt.Sprintf("failed to parse %s value: %s (%s)", name, r.options[name], reason))
	}
}

func (r *reader) bool(name string, absent bool) bool {
	s, ok := r.options[name]
	if !ok {
		return absent
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		r.fail(name, err.Error())
	}
	return v
}

// mtu: an IPv4 packet needs 68 bytes, a bridge takes at most 65535.
func (r *reader) mtu() int {
	s, ok := r.options[OptMTU]
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		r.fail(OptMTU, err.Error())
	case n != 0 && n < 68 || n > 65535:
		r.fail(OptMTU, "the MTU must be between 68 and 65535")
	}
	return n
}

func (r *reader) addr(name string) netip.Addr {
	s := r.options[name]
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		r.fail(name, "invalid IP address")
	}
	return a.Unmap()
}

func (r *reader) ifName(name string, most int) string {
	s := r.options[name]
	if s != "" && (!ifNamePattern.MatchString(s) || len(s) > most) {
		r.fail(name, fmt.Sprintf("interface names have at most %d letters, digits and any of _.-", most))
	}
	return s
}

// mode reads a gateway mode.
func (r *reader) mode(name string, internal bool) GatewayMode {
	switch m := GatewayMode(r.options[name]); m {
	case "":
		return ModeNAT
	case ModeIsolated:
		if !internal {
			r.fail(name, `gateway mode "isolated" can only be used for an internal network`)
		}
		return m
	case ModeNAT, ModeRouted, ModeUnprotected:
		return m
	default:
		r.fail(name, fmt.Sprintf("unknown gateway mode %s", m))
		return ""
	}
}
