package firewall

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// chunk is how many elements go into one netlink message: an attribute holds
// 64 KiB at most, and an element takes some 150 bytes.
const chunk = 256

// ifname is an interface name as nf_tables compares it: NUL-padded.
func ifname(s string) []byte {
	b := make([]byte, 16)
	copy(b, s)
	return b
}

// queue adds the change of d to c's transaction.
func (t table) queue(c *nftables.Conn, d delta) error {
	if d.delNet != nil {
		if err := t.network(*d.delNet, c.SetDeleteElements); err != nil {
			return err
		}
	}
	if d.addNet != nil {
		if err := t.network(*d.addNet, c.SetAddElements); err != nil {
			return err
		}
	}
	if err := t.mappings("", d.del, c.SetDeleteElements); err != nil {
		return err
	}
	return t.mappings(d.owner, d.add, c.SetAddElements)
}

type edit func(*nftables.Set, []nftables.SetElement) error

func (t table) network(n Network, do edit) error {
	name := ifname(n.Bridge)
	e := edits{do: do}
	e.one(t.bridges, name)
	if n.ICC {
		e.one(t.icc, name, name)
	}
	if n.Internal {
		e.one(t.internal, name)
	}
	for _, dev := range n.Trusted {
		e.one(t.trusted, ifname(dev), name)
	}
	e.access(t, n.Access4, name, unix.NFPROTO_IPV4)
	e.access(t, n.Access6, name, unix.NFPROTO_IPV6)
	for _, s := range n.Subnets {
		sets := t.of(s.Addr())
		e.all(sets.nets, interval(s, nil))
		if !n.Masquerade || n.Internal || n.access(s.Addr()) == AccessRouted {
			continue
		}
		if i := slices.IndexFunc(n.Source, func(a netip.Addr) bool { return a.Is4() == s.Addr().Is4() }); i >= 0 {
			e.all(sets.source, interval(s, n.Source[i].AsSlice()))
		} else {
			e.all(sets.masq, interval(s, nil))
		}
	}
	return e.err
}

// edits are changes of elements, up to the first that fails.
type edits struct {
	do  edit
	err error
}

func (e *edits) all(s *nftables.Set, elements []nftables.SetElement) {
	if e.err == nil {
		e.err = e.do(s, elements)
	}
}

// one edits the element whose key is the concatenation of fields.
func (e *edits) one(s *nftables.Set, fields ...[]byte) {
	var key []byte
	for _, f := range fields {
		key = append(key, pad4(f)...)
	}
	e.all(s, []nftables.SetElement{{Key: key}})
}

func (e *edits) access(t table, a Access, bridge []byte, proto byte) {
	switch a {
	case AccessAll:
		e.one(t.unprotected, bridge, []byte{proto})
	case AccessRouted:
		e.one(t.routed, bridge, []byte{proto})
	case AccessPublished:
		e.one(t.direct, bridge, []byte{proto})
	}
}

// mappings edits those of owner, whose name becomes the elements' comment: an
// operator sees whose a port is, and so does a process that has no memory of it.
func (t table) mappings(owner string, all []Mapping, do edit) error {
	bySet := map[*nftables.Set][]nftables.SetElement{}
	for _, m := range all {
		set, e := t.element(m)
		e.Comment = owner
		bySet[set] = append(bySet[set], e)
	}
	for set, elements := range bySet {
		for len(elements) > 0 {
			n := min(chunk, len(elements))
			if err := do(set, elements[:n]); err != nil {
				return err
			}
			elements = elements[n:]
		}
	}
	return nil
}

func (t table) element(m Mapping) (*nftables.Set, nftables.SetElement) {
	key := append(pad4([]byte{m.Proto}), pad4(port(m.Host.Port()))...)
	e := nftables.SetElement{Key: key, Val: append(m.To.Addr().AsSlice(), pad4(port(m.To.Port()))...)}
	sets := t.of(m.To.Addr())
	if m.Link != (Link{}) {
		e.Key = slices.Concat(ifname(m.Link.Bridge), m.Link.From.AsSlice(), m.To.Addr().AsSlice(), pad4([]byte{m.Proto}), pad4(port(m.To.Port())))
		e.Val = nil
		return t.linked, e
	}
	if m.direct() {
		e.Key = slices.Concat(m.To.Addr().AsSlice(), pad4([]byte{m.Proto}), pad4(port(m.To.Port())))
		e.Val = nil
		return sets.open, e
	}
	if m.Host.Addr().IsUnspecified() {
		return sets.ports, e
	}
	e.Key = append(m.Host.Addr().AsSlice(), key...)
	return sets.hosts, e
}

// mapping is the reverse of element. ok is false for what is not ours.
func (t table) mapping(set *nftables.Set, e nftables.SetElement) (m Mapping, ok bool) {
	host, size := netip.IPv4Unspecified(), 4
	if slices.Contains(t.v6.published(), set) {
		host, size = netip.IPv6Unspecified(), 16
	}
	key := e.Key
	if set != t.v4.ports && set != t.v6.ports { // the key begins with an address
		if len(key) < size {
			return m, false
		}
		host, _ = netip.AddrFromSlice(key[:size])
		key = key[size:]
	}
	if len(key) != 8 {
		return m, false
	}
	if set == t.v4.open || set == t.v6.open {
		return Mapping{Proto: key[0], To: netip.AddrPortFrom(host, binary.BigEndian.Uint16(key[4:]))}, true
	}
	if len(e.Val) < size+2 {
		return m, false
	}
	to, _ := netip.AddrFromSlice(e.Val[:size])
	return Mapping{
		Proto: key[0],
		Host:  netip.AddrPortFrom(host, binary.BigEndian.Uint16(key[4:])),
		To:    netip.AddrPortFrom(to, binary.BigEndian.Uint16(e.Val[size:])),
	}, true
}

func (t table) of(a netip.Addr) familySets {
	if a.Is4() {
		return t.v4
	}
	return t.v6
}

// interval is p as elements of a set of intervals, or of a map with value.
func interval(p netip.Prefix, value []byte) []nftables.SetElement {
	first := p.Masked().Addr().AsSlice()
	end := append([]byte(nil), first...)
	for i := p.Bits(); i < len(end)*8; i++ {
		end[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(end)
	out := []nftables.SetElement{{Key: first, Val: value}}
	if next := last.Next(); next.IsValid() { // the end is exclusive
		out = append(out, nftables.SetElement{Key: next.AsSlice(), IntervalEnd: true})
	}
	return out
}

func port(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }

// pad4 fills up to a register of 32 bits, as concatenations want it.
func pad4(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
