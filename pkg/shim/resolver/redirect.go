package resolver

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const dnsPort = 53

// table is ours in the container's namespace.
func table() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "berth-names"}
}

// there is the chain for packets on their way to the resolver.
const there = "there"

// redirected returns the ports that packets in the calling thread's network
// namespace are sent to already: of the resolver of another shim, or of one that is
// gone. 0 is none. What it reads a container may have written.
func redirected() (udp, tcp uint16) {
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return 0, 0
	}
	defer func() { _ = c.CloseLasting() }() // nothing was changed
	rules, err := c.GetRules(table(), &nftables.Chain{Name: there})
	if err != nil {
		return 0, 0 // there is no such table
	}
	for _, r := range rules {
		switch protocol, port := rewritten(r.Exprs); protocol {
		case unix.IPPROTO_UDP:
			udp = port
		case unix.IPPROTO_TCP:
			tcp = port
		}
	}
	return udp, tcp
}

// rewritten is what a rule of rewrite is about; 0: it is none.
func rewritten(rule []expr.Any) (protocol byte, to uint16) {
	for _, e := range rule {
		switch e := e.(type) {
		case *expr.Cmp:
			if len(e.Data) == 1 {
				protocol = e.Data[0]
			}
		case *expr.Immediate:
			if len(e.Data) == 2 {
				to = binary.BigEndian.Uint16(e.Data)
			}
		}
	}
	return protocol, to
}

// redirect, in the calling thread's network namespace, has packets to port 53 of
// Address go to ports instead, and their answers come from port 53. The ports are
// rewritten in the packets: translation by the kernel's connection tracking would
// have it track every connection of the container, in a table that can be full.
//
// The way there comes before connection tracking, in case the container has it,
// and the way back after it: it sees one connection with an answer, and rules of
// the container that let answers in let these in.
//
// done is to be called some time: when the kernel closes the socket that made a
// transaction it waits for all processors, which takes longer than all the rest.
func redirect(udp, tcp uint16) (done func() error, err error) {
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, err
	}
	table := c.AddTable(table())
	there := c.AddChain(&nftables.Chain{Table: table, Name: there, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityRaw})
	back := c.AddChain(&nftables.Chain{Table: table, Name: "back", Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityLast})
	c.FlushTable(table) // of a resolver before this one whose ports could not be had
	for _, p := range []struct {
		number   byte
		port     uint16
		checksum uint32 // its offset in the header
	}{{unix.IPPROTO_UDP, udp, 6}, {unix.IPPROTO_TCP, tcp, 16}} {
		c.AddRule(&nftables.Rule{Table: table, Chain: there, Exprs: rewrite(p.number, p.checksum, dstAddr, dstPort, dnsPort, p.port)})
		c.AddRule(&nftables.Rule{Table: table, Chain: back, Exprs: rewrite(p.number, p.checksum, srcAddr, srcPort, p.port, dnsPort)})
	}
	if err := c.Flush(); err != nil {
		return nil, errors.Join(fmt.Errorf("nftables: %w", err), c.CloseLasting())
	}
	return c.CloseLasting, nil
}

// Offsets in the IPv4 header and in those of UDP and TCP.
const (
	srcAddr, dstAddr = 12, 16
	srcPort, dstPort = 0, 2
)

// rewrite replaces one port of packets from or to Address.
func rewrite(protocol byte, checksum, addr, portAt uint32, from, to uint16) []expr.Any {
	const reg = 1
	equals := func(b []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: b} }
	number := func(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg}, equals([]byte{protocol}),
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: addr, Len: 4}, equals(Address.AsSlice()),
		&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: portAt, Len: 2}, equals(number(from)),
		&expr.Immediate{Register: reg, Data: number(to)},
		&expr.Payload{OperationType: expr.PayloadWrite, SourceRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: portAt, Len: 2,
			CsumType: expr.CsumTypeInet, CsumOffset: checksum},
	}
}
