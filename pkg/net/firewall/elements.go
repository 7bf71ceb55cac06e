package firewall

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
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
	one := []nftables.SetElement{{Key: name}}
	pair := []nftables.SetElement{{Key: append(ifname(n.Bridge), name...)}}
	if err := do(t.bridges, one); err != nil {
		return err
	}
	if n.ICC {
		if err := do(t.icc, pair); err != nil {
			return err
		}
	}
	if n.Internal {
		if err := do(t.internal, one); err != nil {
			return err
		}
	}
	for _, s := range n.Subnets {
		sets := t.of(s.Addr())
		if err := do(sets.nets, interval(s)); err != nil {
			return err
		}
		if !n.Masquerade || n.Internal {
			continue
		}
		if err := do(sets.masq, interval(s)); err != nil {
			return err
		}
	}
	return nil
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
	if m.Host.Addr().IsUnspecified() {
		return sets.ports, e
	}
	e.Key = append(m.Host.Addr().AsSlice(), key...)
	return sets.hosts, e
}

// mapping is the reverse of element. ok is false for what is not ours.
func (t table) mapping(set *nftables.Set, e nftables.SetElement) (m Mapping, ok bool) {
	host, size := netip.IPv4Unspecified(), 4
	if set == t.v6.hosts || set == t.v6.ports {
		host, size = netip.IPv6Unspecified(), 16
	}
	key := e.Key
	if set == t.v4.hosts || set == t.v6.hosts {
		if len(key) < size {
			return m, false
		}
		host, _ = netip.AddrFromSlice(key[:size])
		key = key[size:]
	}
	if len(key) != 8 || len(e.Val) < size+2 {
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

func interval(p netip.Prefix) []nftables.SetElement {
	first := p.Masked().Addr().AsSlice()
	end := append([]byte(nil), first...)
	for i := p.Bits(); i < len(end)*8; i++ {
		end[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(end)
	out := []nftables.SetElement{{Key: first}}
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
