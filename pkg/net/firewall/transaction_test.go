package firewall

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Each change is one transaction, however large it is.
func TestOneTransaction(t *testing.T) {
	fw := openTable(t)
	ctx := t.Context()
	var all []Mapping
	for p := range uint16(2000) {
		all = append(all, tcp(fmt.Sprintf("0.0.0.0:%d", 10000+p), fmt.Sprintf("172.17.0.2:%d", 10000+p)))
	}
	for _, change := range []struct {
		name string
		do   func() error
	}{
		{"reset", func() error { return fw.Reset(ctx, []Network{lan, closed}, nil) }},
		{"a network", func() error { return fw.AddNetwork(ctx, dual) }},
		{"another of its bridge", func() error { n := dual; n.ICC = false; return fw.AddNetwork(ctx, n) }},
		{"ports", func() error { return fw.Publish(ctx, "c/eth0", all) }},
		{"no ports", func() error { return fw.Unpublish(ctx, "c/eth0") }},
		{"no network", func() error { return fw.RemoveNetwork(ctx, dual.Bridge) }},
		{"nothing", func() error { return fw.Drop(ctx) }},
	} {
		before := transactions(t)
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		if n := transactions(t) - before; n != 1 {
			t.Errorf("%s: %d transactions", change.name, n)
		}
	}
}

// transactions is how many there were in this namespace: nf_tables' generation.
func transactions(t *testing.T) uint32 {
	t.Helper()
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	messages, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETGEN, Flags: netlink.Request},
		Data:   []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0},
	})
	if err != nil || len(messages) != 1 {
		t.Fatal(messages, err)
	}
	for a := range attributes(messages[0]) {
		if a.Type == unix.NFTA_GEN_ID {
			return binary.BigEndian.Uint32(a.Data)
		}
	}
	t.Fatal("no generation")
	return 0
}
