package firewall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// From linux/netfilter_ipv4/ip_tables.h and linux/netfilter_ipv6/ip6_tables.h,
// where both have the same numbers, and linux/netfilter/x_tables.h.
const (
	xtGetInfo    = 64
	xtGetEntries = 65
	xtInfoSize   = 84 // table's name, valid hooks, first entries, policies, number, size
	xtPolicies   = 32 + 4 + 20
	xtTableSize  = 32 + 4 + 40
	xtHeader     = 40 // of the entries: table's name, size
	xtTarget     = 32 // before the verdict of a target
	xtDrop       = ^0 // -NF_DROP-1
	xtMost       = 64 << 20
)

// entryLayout says where an entry has what is behind it: offsets of struct
// ipt_entry and ip6t_entry.
type entryLayout struct{ target, next, size int }

var (
	entry4 = entryLayout{88, 90, 112}
	entry6 = entryLayout{140, 142, 168}
)

// look reads the FORWARD chain, without the program, whose lock we watch: whether
// its policy is to drop, and which rules of ours are there.
func (l legacy) look(a admission) (drops bool, have []pass, err error) {
	family, level, layout := unix.AF_INET, unix.IPPROTO_IP, entry4
	if l.six {
		family, level, layout = unix.AF_INET6, unix.IPPROTO_IPV6, entry6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return false, nil, err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	for {
		info := make([]byte, xtInfoSize)
		copy(info, "filter")
		if err := getsockopt(fd, level, xtGetInfo, info); err != nil {
			return false, nil, fmt.Errorf("reading the table: %w", err)
		}
		size := binary.NativeEndian.Uint32(info[xtTableSize+4:])
		if size > xtMost {
			return false, nil, fmt.Errorf("a table of %d bytes", size)
		}
		entries := make([]byte, xtHeader+int(size))
		copy(entries, "filter")
		binary.NativeEndian.PutUint32(entries[32:], size)
		err := getsockopt(fd, level, xtGetEntries, entries)
		if errors.Is(err, unix.EAGAIN) {
			continue // it has changed in between
		}
		if err != nil {
			return false, nil, fmt.Errorf("reading the rules: %w", err)
		}
		drops, have = a.chain(info, entries[xtHeader:], layout)
		return drops, have, nil
	}
}

func getsockopt(fd, level, option int, b []byte) error {
	n := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// chain finds in a table what is asked of its FORWARD chain.
func (a admission) chain(info, entries []byte, layout entryLayout) (drops bool, have []pass) {
	at := int(binary.NativeEndian.Uint32(info[xtPolicies-20+4*unix.NF_INET_FORWARD:]))
	policy := int(binary.NativeEndian.Uint32(info[xtPolicies+4*unix.NF_INET_FORWARD:]))
	for at >= 0 && at+layout.size <= len(entries) && at <= policy {
		target := int(binary.NativeEndian.Uint16(entries[at+layout.target:]))
		next := int(binary.NativeEndian.Uint16(entries[at+layout.next:]))
		if next < layout.size || at+next > len(entries) || target < layout.size || target+xtTarget+4 > next {
			break
		}
		entry := entries[at : at+next]
		if at == policy {
			drops = int32(binary.NativeEndian.Uint32(entry[target+xtTarget:])) == xtDrop
		}
		if p, ok := a.parse(xtComment(entry[layout.size:target])); ok {
			have = append(have, p)
		}
		at += next
	}
	return drops, have
}

// xtComment finds the comment among the matches of a rule: each is its size, its
// name in 29 bytes, a revision, and its data.
func xtComment(matches []byte) string {
	const name, head = 2, 32
	for len(matches) >= head {
		size := int(binary.NativeEndian.Uint16(matches))
		if size < head || size > len(matches) {
			return ""
		}
		if string(bytes.TrimRight(matches[name:head-1], "\x00")) == "comment" {
			text, _, _ := bytes.Cut(matches[head:size], []byte{0})
			return string(text)
		}
		matches = matches[size:]
	}
	return ""
}

// lockFile is what iptables-legacy locks while it works. Nothing else tells of what
// it did.
const lockFile = "/run/xtables.lock"

// lockWatch calls changed each time that somebody who had the file open closes it.
type lockWatch struct {
	path    string
	events  *os.File
	changed func()
	done    chan struct{}
}

func watchLock(path string, changed func()) (*lockWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	w := &lockWatch{path: path, events: os.NewFile(uintptr(fd), "inotify"), changed: changed, done: make(chan struct{})}
	if err := w.add(); err != nil {
		return nil, errors.Join(err, w.events.Close())
	}
	go w.run()
	return w, nil
}

// add makes the file, as the program does, and watches it.
func (w *lockWatch) add() error {
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_RDONLY|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil { // before it is watched
		return err
	}
	raw, err := w.events.SyscallConn()
	if err != nil {
		return err
	}
	control := raw.Control(func(fd uintptr) {
		_, err = unix.InotifyAddWatch(int(fd), w.path, unix.IN_CLOSE|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF)
	})
	return errors.Join(control, err)
}

func (w *lockWatch) run() {
	defer close(w.done)
	b := make([]byte, 4096)
	for {
		n, err := w.events.Read(b)
		if err != nil {
			return // closed
		}
		if gone(b[:n]) {
			if err := w.add(); err != nil && !errors.Is(err, syscall.EEXIST) {
				return
			}
		}
		w.changed()
	}
}

// gone says whether events tell that the file is another now: struct inotify_event,
// each followed by a name.
func gone(events []byte) bool {
	for len(events) >= unix.SizeofInotifyEvent {
		mask, name := binary.NativeEndian.Uint32(events[4:]), binary.NativeEndian.Uint32(events[12:])
		if mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF|unix.IN_IGNORED) != 0 {
			return true
		}
		if int64(unix.SizeofInotifyEvent)+int64(name) > int64(len(events)) {
			return false
		}
		events = events[unix.SizeofInotifyEvent+int(name):]
	}
	return false
}

func (w *lockWatch) Close() error {
	err := w.events.Close()
	<-w.done
	return err
}
