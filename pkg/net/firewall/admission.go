package firewall

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// admission has the traffic of our bridges accepted by the FORWARD chains of
// iptables when their policy is to drop: dockerd and ufw set it. A packet must
// pass every chain of a hook, so that what ours accepts is dropped there. Our
// rules stand at the chain's end, in place of the policy: whoever wrote rules
// keeps the first word, and our own table still says what may reach containers.
type admission struct {
	table  string // ours; it stands in the rules' comments
	shared bool   // other processes have networks in it: their rules stay
	log    *slog.Logger
}

// pass is one rule: traffic that comes in from a bridge, or goes out to it.
type pass struct {
	in     bool
	bridge string
}

func (p pass) flag() string {
	if p.in {
		return "-i"
	}
	return "-o"
}

// comment is what the rule is known by.
func (a admission) comment(p pass) string { return a.table + " " + p.flag() + " " + p.bridge }

func (a admission) parse(comment string) (p pass, ok bool) {
	rest, ok := strings.CutPrefix(comment, a.table+" -")
	if !ok {
		return p, false
	}
	dir, bridge, ok := strings.Cut(rest, " ")
	return pass{dir == "i", bridge}, ok
}

// passes are the rules that networks need among those of one IP version.
func passes(networks map[string]Network, six bool) (out []pass) {
	for _, n := range networks {
		if slices.ContainsFunc(n.Subnets, func(s netip.Prefix) bool { return s.Addr().Is6() == six }) {
			out = append(out, pass{true, n.Bridge}, pass{false, n.Bridge})
		}
	}
	slices.SortFunc(out, func(a, b pass) int { return cmp.Or(cmp.Compare(a.bridge, b.bridge), cmp.Compare(a.flag(), b.flag())) })
	return out
}

// admit makes the rules what networks need, wherever there is such a chain.
func (a admission) admit(networks map[string]Network) {
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6} {
		want := passes(networks, family == nftables.TableFamilyIPv6)
		if err := a.admitNFT(family, want); err != nil {
			a.log.Warn("the FORWARD chain of iptables may drop the containers' traffic", "error", err)
		}
	}
	for _, l := range legacies() {
		if err := a.admitLegacy(l, passes(networks, l.six)); err != nil {
			a.log.Warn("the FORWARD chain of "+l.command+" may drop the containers' traffic", "error", err)
		}
	}
}

// admitNFT edits the chain that iptables-nft keeps.
func (a admission) admitNFT(family nftables.TableFamily, want []pass) (err error) {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	drops, err := policyDrops(c, family)
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the chain: %w", err)
	}
	if !drops {
		want = nil
	}
	have, err := a.rules(c, family)
	if err != nil {
		return fmt.Errorf("reading the rules: %w", err)
	}
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	rule := nftables.Rule{Table: &nftables.Table{Name: "filter", Family: family}, Chain: &nftables.Chain{Name: "FORWARD"}}
	for p, handle := range have {
		if !slices.Contains(want, p) && !a.shared {
			r := rule
			r.Handle = handle
			if err := conn.DelRule(&r); err != nil {
				return err
			}
		}
	}
	for _, p := range want {
		if _, ok := have[p]; !ok {
			r := rule
			r.Exprs, r.UserData = p.exprs(), userdata.AppendString(nil, userdata.TypeComment, a.comment(p))
			conn.AddRule(&r)
		}
	}
	return conn.Flush() // nothing queued: nothing is sent
}

// exprs is the rule in the words that iptables-nft understands: a table with
// others it refuses to list.
func (p pass) exprs() []expr.Any {
	key := expr.MetaKeyOIFNAME
	if p.in {
		key = expr.MetaKeyIIFNAME
	}
	return []expr.Any{
		&expr.Meta{Key: key, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: append([]byte(p.bridge), 0)},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

// query asks for what is called name in the table "filter" of family.
func query(c *netlink.Conn, family nftables.TableFamily, message uint16, flags netlink.HeaderFlags, name uint16) ([]netlink.Message, error) {
	attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_CHAIN_TABLE, Data: []byte("filter\x00")}, // 1, as NFTA_RULE_TABLE
		{Type: name, Data: []byte("FORWARD\x00")},
	})
	if err != nil {
		return nil, err
	}
	return c.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | message), Flags: netlink.Request | flags},
		Data:   append([]byte{byte(family), unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
}

// policyDrops says whether what no rule of the chain decides is dropped.
func policyDrops(c *netlink.Conn, family nftables.TableFamily) (drops bool, err error) {
	messages, err := query(c, family, unix.NFT_MSG_GETCHAIN, 0, unix.NFTA_CHAIN_NAME)
	for _, m := range messages {
		for at := range attributes(m) {
			if at.Type == unix.NFTA_CHAIN_POLICY && len(at.Data) == 4 {
				drops = binary.BigEndian.Uint32(at.Data) == uint32(nftables.ChainPolicyDrop)
			}
		}
	}
	return drops, err
}

// rules returns the handles of our rules in the chain. The others are not
// looked into: they may be of kinds that nobody here knows.
func (a admission) rules(c *netlink.Conn, family nftables.TableFamily) (map[pass]uint64, error) {
	messages, err := query(c, family, unix.NFT_MSG_GETRULE, netlink.Dump, unix.NFTA_RULE_CHAIN)
	out := map[pass]uint64{}
	for _, m := range messages {
		var handle uint64
		var comment string
		for at := range attributes(m) {
			switch {
			case at.Type == unix.NFTA_RULE_HANDLE && len(at.Data) == 8:
				handle = binary.BigEndian.Uint64(at.Data)
			case at.Type == unix.NFTA_RULE_USERDATA:
				comment = commentOf(at.Data)
			}
		}
		if p, ok := a.parse(comment); ok {
			out[p] = handle
		}
	}
	return out, err
}

// attributes are those of a message of nf_tables, which begins with struct
// nfgenmsg.
func attributes(m netlink.Message) iter.Seq[netlink.Attribute] {
	if len(m.Data) < 4 {
		return slices.Values([]netlink.Attribute(nil))
	}
	attrs, err := netlink.UnmarshalAttributes(m.Data[4:])
	if err != nil {
		attrs = nil
	}
	return slices.Values(attrs)
}

// commentOf finds the comment in a rule's user data: fields of type, length and
// value, which the kernel passes on unread.
func commentOf(data []byte) string {
	for len(data) >= 2 && len(data) >= 2+int(data[1]) {
		value := data[2 : 2+int(data[1])]
		if userdata.Type(data[0]) == userdata.TypeComment {
			return string(bytes.TrimRight(value, "\x00"))
		}
		data = data[2+len(value):]
	}
	return ""
}
