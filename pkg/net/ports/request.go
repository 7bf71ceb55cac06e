// Package ports decides which ports of the host a container gets, and holds
// them: against other containers by a table in memory, against programs of the
// host by sockets that nothing is ever read from. (Traffic does not come
// through here: the firewall translates it before it reaches a socket.)
package ports

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"
)

// Request is one binding that a container wants.
type Request struct {
	Container network.Port
	HostIPs   []netip.Addr // unspecified: each of the host's. They get the same port.
	First     uint16       // of the host's ports, any one of which will do;
	Last      uint16       // both 0: one that the engine chooses
	// Named says that the client gave the address; otherwise a family that the
	// network does not serve is left out.
	Named bool
}

// Binding is what was granted at one address. Without a port of the host the
// container's is reached at its own address.
type Binding struct {
	Container network.Port   `json:"container"`
	Host      netip.AddrPort `json:"host"`
	// Forwarded says that the container's shim passes on what comes: the
	// firewall cannot.
	Forwarded bool `json:"forwarded,omitempty"`
}

// Parse turns what a client asked for into requests in a fixed order. fallback
// is the address of bindings that name none; 0.0.0.0 then means :: as well, as
// Docker has it. InvalidArgument, in Docker's words, for ports and protocols that
// cannot be.
func Parse(m network.PortMap, fallback netip.Addr) ([]Request, error) {
	var out []Request
	for port, bindings := range m {
		if _, err := Protocol(port.Proto()); err != nil {
			return nil, err
		}
		if port.Num() == 0 {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid port specification: %q", port))
		}
		for _, b := range bindings {
			first, last, err := parseHostPort(b.HostPort)
			if err != nil {
				return nil, err
			}
			ip := b.HostIP.Unmap()
			if ip.Zone() != "" {
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid host IP address: %s", ip))
			}
			r := Request{Container: port, HostIPs: []netip.Addr{ip}, First: first, Last: last, Named: ip.IsValid()}
			if !r.Named {
				r.HostIPs = []netip.Addr{fallback}
				if fallback == netip.IPv4Unspecified() {
					r.HostIPs = append(r.HostIPs, netip.IPv6Unspecified())
				}
			}
			out = append(out, r)
		}
	}
	// Fixed host ports first: a port that we choose must not be one that the
	// same container names.
	slices.SortFunc(out, func(a, b Request) int {
		return cmp.Or(cmp.Compare(b.First, a.First), cmp.Compare(a.Container.Num(), b.Container.Num()),
			cmp.Compare(a.Container.Proto(), b.Container.Proto()), slices.CompareFunc(a.HostIPs, b.HostIPs, netip.Addr.Compare))
	})
	return out, nil
}

// parseHostPort reads "", "0", "8080" or "8000-8010".
func parseHostPort(s string) (first, last uint16, err error) {
	invalid := errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid port specification: %q", s))
	if s == "" {
		return 0, 0, nil
	}
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	a, errA := strconv.ParseUint(from, 10, 16)
	b, errB := strconv.ParseUint(to, 10, 16)
	if errA != nil || errB != nil || a > b || isRange && a == 0 {
		return 0, 0, invalid
	}
	return uint16(a), uint16(b), nil
}

// Protocol returns p's number. InvalidArgument for what cannot be published.
func Protocol(p network.IPProtocol) (byte, error) {
	switch p {
	case network.TCP:
		return unix.IPPROTO_TCP, nil
	case network.UDP:
		return unix.IPPROTO_UDP, nil
	case network.SCTP:
		return unix.IPPROTO_SCTP, nil
	}
	return 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid proto: %s", p))
}
