package firewall

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// watch subscribes to what the kernel says of changes to nftables and asks for
// a repair when someone else deleted from our table.
func (t *Table) watch() error {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return fmt.Errorf("watching nftables: %w", err)
	}
	if err := c.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		return errors.Join(fmt.Errorf("watching nftables: %w", err), c.Close())
	}
	// Our own transactions come here, too: thousands of ports are megabytes.
	if err := c.SetReadBuffer(16 << 20); err != nil {
		return errors.Join(fmt.Errorf("watching nftables: %w", err), c.Close())
	}
	t.monitor, t.watched = c, make(chan struct{})
	go func() {
		defer close(t.watched)
		for {
			messages, err := c.Receive()
			switch {
			case errors.Is(err, syscall.ENOBUFS):
				ask(t.repair, "notifications were lost")
				ask(t.foreign, struct{}{})
			case err != nil:
				select {
				case <-t.stop:
				default:
					t.log.Error("the firewall is no longer watched", "table", t.desc.Name, "error", err)
				}
				return
			}
			for _, m := range messages {
				if foreignDelete(m, t.desc.Name, t.portID.Load()) {
					ask(t.repair, "it was changed from outside")
				}
				if hostChain(m) {
					ask(t.foreign, struct{}{})
				}
			}
		}
	}()
	return nil
}

func ask[T any](c chan T, v T) {
	select {
	case c <- v:
	default: // it is asked for already
	}
}

// foreignDelete says whether m tells of a deletion from the table called name
// that the socket self did not make.
func foreignDelete(m netlink.Message, name string, self uint32) bool {
	if m.Header.PID == self || tableOf(m, nftables.TableFamilyINet) != name {
		return false
	}
	switch m.Header.Type & 0xff {
	case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE,
		unix.NFT_MSG_DELSET, unix.NFT_MSG_DELSETELEM:
		return true
	}
	return false
}

// hostChain says whether m tells of a new policy or a lost rule of the FORWARD
// chain of iptables.
func hostChain(m netlink.Message) bool {
	if tableOf(m, nftables.TableFamilyIPv4) != "filter" && tableOf(m, nftables.TableFamilyIPv6) != "filter" {
		return false
	}
	switch m.Header.Type & 0xff {
	case unix.NFT_MSG_NEWCHAIN, unix.NFT_MSG_DELCHAIN:
		return text(m, unix.NFTA_CHAIN_NAME) == "FORWARD"
	case unix.NFT_MSG_DELRULE:
		return text(m, unix.NFTA_RULE_CHAIN) == "FORWARD"
	}
	return false
}

// tableOf is the table that m is about, "" for one of another family.
func tableOf(m netlink.Message, family nftables.TableFamily) string {
	if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || len(m.Data) < 4 || m.Data[0] != byte(family) {
		return ""
	}
	return text(m, unix.NFTA_TABLE_NAME) // 1: the same in messages about tables, chains, rules and sets
}

func text(m netlink.Message, attribute uint16) string {
	for a := range attributes(m) {
		if a.Type == attribute {
			return string(bytes.TrimRight(a.Data, "\x00"))
		}
	}
	return ""
}

// load reads what other processes published, for OpenShared.
func (t *Table) load() error {
	tables, err := t.conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return fmt.Errorf("listing nftables tables: %w", err)
	}
	for _, have := range tables {
		t.present = t.present || have.Name == t.desc.Name
	}
	if !t.present {
		return nil
	}
	for _, set := range slices.Concat(t.desc.v4.published(), t.desc.v6.published()) {
		elements, err := t.conn.GetSetElements(set)
		if err != nil {
			return fmt.Errorf("reading nftables map %s: %w", set.Name, err)
		}
		for _, e := range elements {
			if m, ok := t.desc.mapping(set, e); ok && e.Comment != "" {
				t.state.apply(delta{owner: e.Comment, add: []Mapping{m}})
			}
		}
	}
	return nil
}
