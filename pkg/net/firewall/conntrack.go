package firewall

import (
	"encoding/binary"
	"errors"

	mdnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// forget drops the kernel's memory of UDP flows to the host ports of m, or the
// ports that it links to. It would send a client that goes on talking where the
// port led before: to this host itself, or to a container that is gone.
func (t *Table) forget(m []Mapping) {
	ports := udpPorts{}
	for _, x := range m {
		port := x.Host.Port()
		if x.Link != (Link{}) {
			port = x.To.Port()
		}
		if x.Proto == unix.IPPROTO_UDP && port != 0 {
			ports[port] = x.To.Addr().Is6() || ports[port]
		}
	}
	if len(ports) == 0 {
		return
	}
	if len(ports) <= inKernel {
		err := ports.forgetInKernel()
		if err == nil {
			return
		}
		t.log.Debug("the kernel cannot choose UDP flows", "error", err)
	}
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		if _, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, ports); err != nil {
			t.log.Warn("forgetting UDP flows", "error", err)
		}
	}
}

// inKernel is up to how many ports the kernel is asked to walk all flows for
// each; beyond that they are read once.
const inKernel = 16

// udpPorts are host ports, and whether one leads to an IPv6 address.
type udpPorts map[uint16]bool

// MatchConntrackFlow says whether f goes to one of the ports.
func (p udpPorts) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	_, ok := p[f.Forward.DstPort]
	return ok && f.Forward.Protocol == unix.IPPROTO_UDP
}

// forgetInKernel needs Linux 6.9.
func (p udpPorts) forgetInKernel() (err error) {
	c, err := mdnetlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	for port, six := range p {
		family := byte(unix.AF_INET)
		if six {
			family = unix.AF_INET6
		}
		if _, err := c.Execute(forgetMessage(port, family)); err != nil {
			return err
		}
	}
	return nil
}

// Attributes and flags of linux/netfilter/nfnetlink_conntrack.h.
const (
	ctMsgDelete      = 2
	ctaTupleOrig     = 1
	ctaTupleProto    = 2
	ctaProtoNum      = 1
	ctaProtoDstPort  = 3
	ctaFilter        = 25
	ctaFilterOrig    = 1
	ctaFilterReply   = 2
	filterProtoNum   = 1 << 3
	filterProtoDport = 1 << 5
)

func forgetMessage(port uint16, family byte) mdnetlink.Message {
	ae := mdnetlink.NewAttributeEncoder()
	ae.Nested(ctaTupleOrig, func(ae *mdnetlink.AttributeEncoder) error {
		ae.Nested(ctaTupleProto, func(ae *mdnetlink.AttributeEncoder) error {
			ae.Uint8(ctaProtoNum, unix.IPPROTO_UDP)
			ae.ByteOrder = binary.BigEndian
			ae.Uint16(ctaProtoDstPort, port)
			return nil
		})
		return nil
	})
	ae.Nested(ctaFilter, func(ae *mdnetlink.AttributeEncoder) error {
		ae.Uint32(ctaFilterOrig, filterProtoNum|filterProtoDport)
		ae.Uint32(ctaFilterReply, 0)
		return nil
	})
	attrs, _ := ae.Encode() // fails on oversized attributes only
	return mdnetlink.Message{
		Header: mdnetlink.Header{
			Type:  mdnetlink.HeaderType(unix.NFNL_SUBSYS_CTNETLINK<<8 | ctMsgDelete),
			Flags: mdnetlink.Request | mdnetlink.Acknowledge,
		},
		// nfgenmsg; a version above 0 makes the kernel heed the family.
		Data: append([]byte{family, 1, 0, 0}, attrs...),
	}
}
