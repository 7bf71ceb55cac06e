package bridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"

	mdnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Deleter deletes interfaces without waiting for the kernel to free them.
//
// A deleted interface is gone for everyone within a millisecond, but the system
// call returns only after the kernel's grace periods (25 ms where this was
// measured). The Deleter learns from the kernel's notification when it is gone,
// and leaves the waiting to a thread that nobody waits for but Close.
type Deleter struct {
	conn    *mdnetlink.Conn
	watched chan struct{}
	calls   sync.WaitGroup

	mu      sync.Mutex // guards waiting
	waiting map[int]chan struct{}
}

// NewDeleter subscribes to the kernel's notifications.
func NewDeleter() (*Deleter, error) {
	c, err := mdnetlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return nil, fmt.Errorf("watching interfaces: %w", err)
	}
	if err := c.JoinGroup(unix.RTNLGRP_LINK); err != nil {
		return nil, errors.Join(fmt.Errorf("watching interfaces: %w", err), c.Close())
	}
	d := &Deleter{conn: c, watched: make(chan struct{}), waiting: map[int]chan struct{}{}}
	go d.watch()
	return d, nil
}

// Close waits for the deletions under way.
func (d *Deleter) Close() error {
	d.calls.Wait()
	err := d.conn.Close()
	<-d.watched
	return err
}

// Delete removes the interface called name; when it returns, the interface and
// its peer are gone. Absent is no error.
func (d *Deleter) Delete(name string) error {
	link, err := netlink.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	index := link.Attrs().Index
	gone := d.expect(index)
	called := make(chan error, 1)
	d.calls.Go(func() {
		called <- netlink.LinkDel(link)
		d.unexpect(index)
	})
	select {
	case <-gone:
		return nil
	case err := <-called: // it failed, or the notification was lost
		if err != nil && !errors.Is(err, syscall.ENODEV) {
			return fmt.Errorf("deleting interface %s: %w", name, err)
		}
		return nil
	}
}

func (d *Deleter) expect(index int) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := make(chan struct{})
	d.waiting[index] = c // a second caller for one interface has the answer of its own call
	return c
}

func (d *Deleter) unexpect(index int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.waiting, index)
}

func (d *Deleter) watch() {
	defer close(d.watched)
	for {
		messages, err := d.conn.Receive()
		if errors.Is(err, syscall.ENOBUFS) {
			continue // those that wait have their calls' answers as well
		}
		if err != nil {
			return // closed
		}
		for _, m := range messages {
			if index, ok := deletedLink(m); ok {
				d.gone(index)
			}
		}
	}
}

func (d *Deleter) gone(index int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c, ok := d.waiting[index]; ok {
		delete(d.waiting, index)
		close(c)
	}
}

// deletedLink reads struct ifinfomsg (linux/rtnetlink.h) of a notification.
// Those of family AF_BRIDGE tell of a bridge's port only.
func deletedLink(m mdnetlink.Message) (index int, ok bool) {
	if m.Header.Type != unix.RTM_DELLINK || len(m.Data) < unix.SizeofIfInfomsg || m.Data[0] != unix.AF_UNSPEC {
		return 0, false
	}
	return int(int32(binary.NativeEndian.Uint32(m.Data[4:8]))), true
}
