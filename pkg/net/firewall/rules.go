package firewall

import (
	"net"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// 32-bit registers as nf_tables numbers them; reg1 and reg2 are the first two
// of 128 bits, of which reg32_1 is the second quarter of reg1.
const (
	reg1    = unix.NFT_REG_1
	reg2    = unix.NFT_REG_2
	reg32_1 = unix.NFT_REG32_01
	reg32_2 = unix.NFT_REG32_02
	reg32_4 = unix.NFT_REG32_04
	reg32_5 = unix.NFT_REG32_05
)

const ctStatusDNAT = 1 << 5 // IPS_DST_NAT of linux/netfilter/nf_conntrack_common.h

// family is what differs between IPv4 and IPv6 in the rules.
type family struct {
	proto        byte
	addr         nftables.SetDatatype
	size         uint32 // bytes of an address
	saddr, daddr uint32 // offsets in the network header
	afterAddr    uint32 // register behind an address in reg1
	afterProto   uint32 // and the one behind that
}

var (
	inet4 = family{unix.NFPROTO_IPV4, nftables.TypeIPAddr, 4, 12, 16, reg32_1, reg32_2}
	inet6 = family{unix.NFPROTO_IPV6, nftables.TypeIP6Addr, 16, 8, 24, reg32_4, reg32_5}
)

// table is the description of our table: its sets, which the elements are
// written to, and the rules over them.
type table struct {
	*nftables.Table
	bridges     *nftables.Set // ifname
	icc         *nftables.Set // ifname . ifname: bridges with inter-container traffic, each with itself
	internal    *nftables.Set // ifname
	trusted     *nftables.Set // ifname . ifname: from where published ports are open at the container's address, and the bridge
	direct      *nftables.Set // ifname . nf_proto: bridges where they are from all interfaces but bridges of ours
	routed      *nftables.Set // ifname . nf_proto: bridges where they are from everywhere, and that ICMP reaches
	unprotected *nftables.Set // ifname . nf_proto: bridges that everything reaches but what comes from our others
	closed      *nftables.Set // nf_proto: families that are forwarded for us alone
	linked      *nftables.Set // ifname . address . address . protocol . port: containers of a bridge that reach another's port
	v4, v6      familySets
}

type familySets struct {
	nets   *nftables.Set // addresses, intervals: of all networks
	masq   *nftables.Set // of those, the sources to masquerade
	source *nftables.Set // addresses, intervals → address to leave the host with
	hosts  *nftables.Set // address . protocol . port → address . port
	ports  *nftables.Set // protocol . port → address . port
	open   *nftables.Set // address . protocol . port of containers
}

// published are those that mappings are in.
func (s familySets) published() []*nftables.Set { return []*nftables.Set{s.hosts, s.ports, s.open} }

func describe(name string) table {
	t := table{Table: &nftables.Table{Name: name, Family: nftables.TableFamilyINet}}
	id := uint32(0) // unique within a transaction
	set := func(name string, key ...nftables.SetDatatype) *nftables.Set {
		id++
		return &nftables.Set{Table: t.Table, ID: id, Name: name, KeyByteOrder: binaryutil.NativeEndian,
			KeyType: concat(key...), Concatenation: len(key) > 1}
	}
	t.bridges = set("bridges", nftables.TypeIFName)
	t.internal = set("internal", nftables.TypeIFName)
	t.icc = set("icc", nftables.TypeIFName, nftables.TypeIFName)
	t.trusted = set("trusted", nftables.TypeIFName, nftables.TypeIFName)
	t.direct = set("direct", nftables.TypeIFName, nftables.TypeNFProto)
	t.routed = set("routed", nftables.TypeIFName, nftables.TypeNFProto)
	t.unprotected = set("unprotected", nftables.TypeIFName, nftables.TypeNFProto)
	t.closed = set("closed", nftables.TypeNFProto)
	t.linked = set("linked", nftables.TypeIFName, nftables.TypeIPAddr, nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	sets := func(f family, suffix string) familySets {
		out := familySets{
			nets:   set("subnets"+suffix, f.addr),
			masq:   set("masquerade"+suffix, f.addr),
			source: set("source"+suffix, f.addr),
			hosts:  set("hosts"+suffix, f.addr, nftables.TypeInetProto, nftables.TypeInetService),
			ports:  set("ports"+suffix, nftables.TypeInetProto, nftables.TypeInetService),
			open:   set("open"+suffix, f.addr, nftables.TypeInetProto, nftables.TypeInetService),
		}
		for _, s := range []*nftables.Set{out.nets, out.masq, out.source} {
			s.Interval, s.KeyByteOrder = true, binaryutil.BigEndian
		}
		for _, m := range []*nftables.Set{out.hosts, out.ports} {
			m.IsMap, m.DataType = true, concat(f.addr, nftables.TypeInetService)
		}
		out.source.IsMap, out.source.DataType = true, f.addr
		return out
	}
	t.v4, t.v6 = sets(inet4, "4"), sets(inet6, "6")
	return t
}

func concat(types ...nftables.SetDatatype) nftables.SetDatatype {
	if len(types) == 1 {
		return types[0]
	}
	return nftables.MustConcatSetType(types...)
}

func (t table) sets() []*nftables.Set {
	out := []*nftables.Set{t.bridges, t.internal, t.icc, t.trusted, t.direct, t.routed, t.unprotected, t.closed, t.linked}
	for _, f := range []familySets{t.v4, t.v6} {
		out = append(out, f.nets, f.masq, f.source)
		out = append(out, f.published()...)
	}
	return out
}

// create queues the whole table without elements. What exists under its name
// goes in the same transaction.
func (t table) create(c *nftables.Conn) error {
	c.AddTable(t.Table) // so that there is one to delete
	c.DelTable(t.Table)
	c.AddTable(t.Table)
	for _, s := range t.sets() {
		if err := c.AddSet(s, nil); err != nil {
			return err
		}
	}
	t.guard(c)
	t.dnat(c)
	t.postrouting(c)
	t.open(c)
	t.strangers(c)
	t.forward(c)
	return nil
}

func (t table) chain(c *nftables.Conn, name string, typ nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority) func(...[]expr.Any) {
	accept := nftables.ChainPolicyAccept
	ch := &nftables.Chain{Name: name, Table: t.Table, Type: typ, Hooknum: hook, Priority: prio}
	if hook != nil {
		ch.Policy = &accept
	}
	c.AddChain(ch)
	return func(parts ...[]expr.Any) {
		r := &nftables.Rule{Table: t.Table, Chain: ch}
		for _, p := range parts {
			r.Exprs = append(r.Exprs, p...)
		}
		c.AddRule(r)
	}
}

// guard: route_localnet, which published ports at localhost need, must let
// nobody else talk to or as 127.0.0.0/8 (CVE-2020-8558). It comes before
// translation: what is published at 127.0.0.1 is for this host alone.
func (t table) guard(c *nftables.Conn) {
	rule := t.chain(c, "guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	rule(not(iif("lo")), loopback4(inet4.daddr), drop())
	rule(inSet(t.bridges, expr.MetaKeyIIFNAME, false), loopback4(inet4.saddr), drop())
}

func (t table) dnat(c *nftables.Conn) {
	rule := t.chain(c, "dnat", "", nil, nil)
	// The kernel lets no answer back to ::1, as route_localnet makes it for
	// 127.0.0.1: the container's shim forwards what comes there.
	rule(nfproto(unix.NFPROTO_IPV6), []expr.Any{
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: inet6.daddr, Len: inet6.size},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: net.IPv6loopback},
		&expr.Verdict{Kind: expr.VerdictReturn},
	})
	for _, f := range []struct {
		family
		familySets
	}{{inet4, t.v4}, {inet6, t.v6}} {
		// A binding to one address wins over one to all.
		rule(f.toPort(), translate(f.hosts, f.family))
		rule(nfproto(f.proto), []expr.Any{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
			&expr.Payload{DestRegister: reg32_1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		}, translate(f.ports, f.family))
	}
	toLocal := []expr.Any{
		&expr.Fib{Register: reg1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
		jump("dnat")[0],
	}
	t.chain(c, "prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)(toLocal)
	t.chain(c, "output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)(toLocal)
}

func (t table) postrouting(c *nftables.Conn) {
	rule := t.chain(c, "postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	toBridge := inSet(t.bridges, expr.MetaKeyOIFNAME, false)
	masquerade := []expr.Any{&expr.Masq{}}
	// The host at localhost: a container cannot answer 127.0.0.1.
	rule(toBridge, loopback4(inet4.saddr), masquerade)
	// A container at a published port, maybe its own: the answer must come back
	// through us, not over the bridge. (By its subnet, since a bridge that calls
	// iptables tells no input interface here.)
	rule(toBridge, statusDNAT(), addrIn(inet4, t.v4.nets), masquerade)
	rule(toBridge, statusDNAT(), addrIn(inet6, t.v6.nets), masquerade)
	notToBridge := inSet(t.bridges, expr.MetaKeyOIFNAME, true)
	rule(notToBridge, from(inet4), leaveAs(t.v4.source, inet4))
	rule(notToBridge, from(inet6), leaveAs(t.v6.source, inet6))
	rule(addrIn(inet4, t.v4.masq), notToBridge, masquerade)
	rule(addrIn(inet6, t.v6.masq), notToBridge, masquerade)
}

// open lets published ports be reached at the containers' own addresses.
func (t table) open(c *nftables.Conn) {
	rule := t.chain(c, "open", "", nil, nil)
	for _, f := range []struct {
		family
		familySets
	}{{inet4, t.v4}, {inet6, t.v6}} {
		rule(f.toPort(), []expr.Any{&expr.Lookup{SourceRegister: reg1, SetName: f.open.Name, SetID: f.open.ID}}, accept())
	}
}

// strangers is where forwarded packets come that are not for us, when this host
// became a router for our sake: like dockerd, which sets a policy of DROP then,
// we do not let it route for others. Engines beside us and plugins for
// containers forward by bridges and veths.
func (t table) strangers(c *nftables.Conn) {
	rule := t.chain(c, "strangers", "", nil, nil)
	for _, kind := range []string{"bridge", "veth"} {
		for _, key := range []expr.MetaKey{metaIIFKind, metaOIFKind} {
			rule([]expr.Any{
				&expr.Meta{Key: key, Register: reg1},
				&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: ifname(kind)},
			}, accept())
		}
	}
	rule(drop())
}

// NFT_META_IIFKIND and NFT_META_OIFKIND of linux/netfilter/nf_tables.h.
const (
	metaIIFKind expr.MetaKey = 26
	metaOIFKind expr.MetaKey = 27
)

func (t table) forward(c *nftables.Conn) {
	rule := t.chain(c, "forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	toBridge := inSet(t.bridges, expr.MetaKeyOIFNAME, false)
	rule(established(), accept())
	rule(pairIn(t.icc), accept())
	rule(toBridge, t.link(), accept())
	rule(inSet(t.internal, expr.MetaKeyIIFNAME, false), drop())
	// What we did not translate was not published: other hosts that route to
	// the containers' subnet, and other networks, are kept out.
	rule(toBridge, statusDNAT(), accept())
	rule(toFamily(t.routed), icmp(unix.IPPROTO_ICMP), accept())
	rule(toFamily(t.routed), icmp(unix.IPPROTO_ICMPV6), accept())
	rule(toFamily(t.routed), jump("open"))
	// Networks that translate are open to the outside at most, and not to each other.
	fromElsewhere := inSet(t.bridges, expr.MetaKeyIIFNAME, true)
	rule(fromElsewhere, toFamily(t.unprotected), accept())
	rule(fromElsewhere, toFamily(t.direct), jump("open"))
	rule(pairIn(t.trusted), jump("open"))
	rule(toBridge, drop())
	rule([]expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1},
		&expr.Lookup{SourceRegister: reg1, SetName: t.closed.Name, SetID: t.closed.ID},
	}, jump("strangers"))
}

func translate(m *nftables.Set, f family) []expr.Any {
	return []expr.Any{
		&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: m.Name, SetID: m.ID},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(f.proto),
			RegAddrMin: reg1, RegProtoMin: f.afterAddr, Specified: true},
	}
}

// leaveAs sets the source to what m has for the source in reg1.
func leaveAs(m *nftables.Set, f family) []expr.Any {
	return []expr.Any{
		&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: m.Name, SetID: m.ID},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: uint32(f.proto), RegAddrMin: reg1},
	}
}

// from loads the source.
func from(f family) []expr.Any {
	return append(nfproto(f.proto),
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: f.saddr, Len: f.size})
}

// toPort loads destination, protocol and destination port.
func (f family) toPort() []expr.Any {
	return append(nfproto(f.proto),
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: f.daddr, Len: f.size},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: f.afterAddr},
		&expr.Payload{DestRegister: f.afterProto, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
}

func inSet(s *nftables.Set, key expr.MetaKey, invert bool) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: reg1},
		&expr.Lookup{SourceRegister: reg1, SetName: s.Name, SetID: s.ID, Invert: invert},
	}
}

func pairIn(s *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1},
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg2},
		&expr.Lookup{SourceRegister: reg1, SetName: s.Name, SetID: s.ID},
	}
}

// toFamily: the output interface and the packet's family are in s.
func toFamily(s *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: reg1},
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg2},
		&expr.Lookup{SourceRegister: reg1, SetName: s.Name, SetID: s.ID},
	}
}

// link: a container of the input interface's bridge sends to one that it links to.
func (t table) link() []expr.Any {
	return append(nfproto(unix.NFPROTO_IPV4),
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1},
		&expr.Payload{DestRegister: unix.NFT_REG32_04, Base: expr.PayloadBaseNetworkHeader, Offset: inet4.saddr, Len: inet4.size},
		&expr.Payload{DestRegister: unix.NFT_REG32_05, Base: expr.PayloadBaseNetworkHeader, Offset: inet4.daddr, Len: inet4.size},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: unix.NFT_REG32_06},
		&expr.Payload{DestRegister: unix.NFT_REG32_07, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: reg1, SetName: t.linked.Name, SetID: t.linked.ID})
}

func icmp(proto byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{proto}},
	}
}

func addrIn(f family, s *nftables.Set) []expr.Any {
	return append(from(f), &expr.Lookup{SourceRegister: reg1, SetName: s.Name, SetID: s.ID})
}

func nfproto(p byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{p}},
	}
}

func iif(name string) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: ifname(name)},
	}
}

// not inverts the comparison that e ends with.
func not(e []expr.Any) []expr.Any {
	e[len(e)-1].(*expr.Cmp).Op = expr.CmpOpNeq
	return e
}

func loopback4(offset uint32) []expr.Any {
	return append(nfproto(unix.NFPROTO_IPV4),
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{127}})
}

func ctBits(key expr.CtKey, bits uint32) []expr.Any {
	zero := make([]byte, 4)
	return []expr.Any{
		&expr.Ct{Key: key, Register: reg1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: zero},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: zero},
	}
}

func statusDNAT() []expr.Any { return ctBits(expr.CtKeySTATUS, ctStatusDNAT) }

func established() []expr.Any {
	return ctBits(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

func jump(chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: chain}}
}
func accept() []expr.Any { return []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}} }
func drop() []expr.Any   { return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}} }
