package firewall

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// commit writes deltas, which state has already, in one transaction. When that
// fails the table is not what we think it is, or one of them is impossible:
// the table is built anew, and if that fails too, each is tried alone.
func (t *Table) commit(deltas []delta, replies []chan error) {
	if len(deltas) == 0 {
		return
	}
	err := t.write(deltas)
	if err != nil {
		for i := len(deltas) - 1; i >= 0; i-- {
			t.state.revert(deltas[i])
		}
	}
	if err == nil || len(deltas) == 1 {
		for _, c := range replies {
			c <- err
		}
		return
	}
	for i, d := range deltas {
		if err := t.state.conflict(d); err != nil {
			replies[i] <- err
			continue
		}
		t.state.apply(d)
		t.commit([]delta{d}, replies[i:i+1])
	}
}

func (t *Table) write(deltas []delta) error {
	if !slices.ContainsFunc(deltas, func(d delta) bool { return d.addNet != nil || d.delNet != nil }) {
		return t.update(deltas, !t.present)
	}
	on, changed, err := t.prepare()
	if err == nil {
		err = t.update(deltas, !t.present || changed)
	}
	if err == nil {
		err = turnOn(on)
	}
	t.admit()
	return err
}

// update writes deltas, or everything anew.
func (t *Table) update(deltas []delta, anew bool) error {
	var err error
	for _, d := range deltas {
		if !anew && err == nil {
			err = t.desc.queue(t.conn, d)
		}
	}
	if !anew && err == nil {
		err = t.flush()
	}
	if anew || err != nil && !t.shared {
		err = t.rebuild()
	}
	return err
}

// rebuild replaces the kernel's table by what state says, atomically.
func (t *Table) rebuild() error {
	if err := t.desc.create(t.conn); err != nil {
		return err
	}
	for _, n := range t.state.networks {
		if err := t.desc.queue(t.conn, delta{addNet: &n}); err != nil {
			return err
		}
	}
	for owner, m := range t.state.published {
		if err := t.desc.queue(t.conn, delta{owner: owner, add: m}); err != nil {
			return err
		}
	}
	for proto := range t.state.closed {
		if err := t.conn.SetAddElements(t.desc.closed, []nftables.SetElement{{Key: []byte{proto}}}); err != nil {
			return err
		}
	}
	err := t.flush()
	t.present = t.present || err == nil
	return err
}

func (t *Table) flush() error {
	err := t.conn.Flush()
	if err == nil {
		return nil
	}
	// The answers to the rest of a failed transaction may still be in the
	// socket; they must not be read as answers to the next.
	return errors.Join(fmt.Errorf("nftables table %s: %w", t.desc.Name, err), t.conn.CloseLasting(), t.dial())
}

func (t *Table) dial() error {
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		// A transaction is one datagram; thousands of ports take megabytes.
		if err := c.SetWriteBuffer(8 << 20); err != nil {
			return err
		}
		if err := c.SetReadBuffer(4 << 20); err != nil {
			return err
		}
		id, err := portID(c)
		t.portID.Store(id)
		return err
	}))
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	t.conn = conn
	return nil
}

// portID is the netlink address of c, which notifications name as the author.
func portID(c *netlink.Conn) (id uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	control := raw.Control(func(fd uintptr) {
		var sa unix.Sockaddr
		if sa, err = unix.Getsockname(int(fd)); err == nil {
			id = sa.(*unix.SockaddrNetlink).Pid
		}
	})
	return id, errors.Join(control, err)
}
