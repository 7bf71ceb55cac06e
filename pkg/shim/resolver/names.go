package resolver

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-engine/berth/pkg/net/records"
)

// scope is the networks that a query is answered from, as they are now.
type scope []struct {
	name  string
	links map[string]string
	table records.Table
}

func (v *view) scope() scope {
	if v == nil {
		return nil
	}
	s := make(scope, len(v.networks))
	for i, n := range v.networks {
		s[i].name, s[i].links, s[i].table = n.name, n.links, n.names.get()
	}
	return s
}

// addresses gives those of family that a name stands for. known says that it is
// a name of ours, even if it has none.
//
// Names and networks may have dots. a.b.c is looked for, as Docker does, as
// a.b.c on every network, as a.b on network c, and as a on network b.c, and each
// time first among the links of the container that asks.
func (s scope) addresses(name string, family func(netip.Addr) bool) (out []netip.Addr, known bool) {
	host, network := name, ""
	for {
		for _, find := range []func(i int, n string) []netip.Addr{s.linked, s.named} {
			for i := range s {
				if network != "" && s[i].name != network {
					continue
				}
				all := find(i, host)
				known = known || len(all) > 0
				if out = slices.DeleteFunc(all, func(a netip.Addr) bool { return !family(a) }); len(out) > 0 {
					return out, true
				}
			}
			if known {
				return nil, true
			}
		}
		dot := strings.LastIndexByte(host, '.')
		if dot < 0 {
			return nil, false
		}
		host, network = name[:dot], name[dot+1:]
	}
}

func (s scope) linked(i int, alias string) []netip.Addr {
	if target, ok := s[i].links[strings.ToLower(alias)]; ok {
		return s[i].table.Name(target)
	}
	return nil
}

func (s scope) named(i int, name string) []netip.Addr {
	if _, ok := s[i].links[strings.ToLower(name)]; ok {
		return nil // on this network the name is the link's
	}
	return s[i].table.Name(name)
}

// host gives the name of an address's container, with its network's.
func (s scope) host(a netip.Addr) string {
	for _, n := range s {
		if h := n.table.Address(a); h != "" {
			return h + "." + n.name
		}
	}
	return ""
}

// reverse reads the name that stands for an address in a PTR query.
func reverse(name string) (netip.Addr, bool) {
	name = strings.ToLower(name)
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		labels := strings.Split(rest, ".")
		slices.Reverse(labels)
		a, err := netip.ParseAddr(strings.Join(labels, "."))
		return a, err == nil && a.Is4()
	}
	rest, ok := strings.CutSuffix(name, ".ip6.arpa")
	if !ok {
		return netip.Addr{}, false
	}
	digits := strings.Split(rest, ".")
	if len(digits) != 32 {
		return netip.Addr{}, false
	}
	var b [16]byte
	for i, d := range digits { // the lowest first
		v, err := strconv.ParseUint(d, 16, 4)
		if err != nil || len(d) != 1 {
			return netip.Addr{}, false
		}
		b[15-i/2] |= byte(v) << (i % 2 * 4)
	}
	return netip.AddrFrom16(b), true
}
