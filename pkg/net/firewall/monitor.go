package firewall

import (
	"bytes"
	"errors"
	"fmt"
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
	t.monitor, t.watched = c, make(chan struct{})
	go func() {
		defer close(t.watched)
		for {
			messages, err := c.Receive()
			switch {
			case errors.Is(err, syscall.ENOBUFS):
				t.askRepair() // something was lost: it may have been about us
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
					t.askRepair()
				}
			}
		}
	}()
	return nil
}

func (t *Table) askRepair() {
	select {
	case t.repair <- struct{}{}:
	default: // one is asked for already
	}
}

// foreignDelete says whether m tells of a deletion from the table called name
// that the socket self did not make.
func foreignDelete(m netlink.Message, name string, self uint32) bool {
	if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || m.Header.PID == self {
		return false
	}
	switch m.Header.Type & 0xff {
	case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE,
		unix.NFT_MSG_DELSET, unix.NFT_MSG_DELSETELEM:
	default:
		return false
	}
	// struct nfgenmsg (4 bytes), then attributes; number 1 is the table's name
	// in every one of these messages.
	if len(m.Data) < 4 || m.Data[0] != byte(nftables.TableFamilyINet) {
		return false
	}
	attrs, err := netlink.UnmarshalAttributes(m.Data[4:])
	if err != nil {
		return false
	}
	for _, a := range attrs {
		if a.Type == unix.NFTA_TABLE_NAME {
			return string(bytes.TrimRight(a.Data, "\x00")) == name
		}
	}
	return false
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
	for _, set := range []*nftables.Set{t.desc.v4.hosts, t.desc.v4.ports, t.desc.v6.hosts, t.desc.v6.ports} {
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
