package ports

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// program names what on this host has host, for people: " (nginx, process 12)",
// or "" when it is not found, as in another PID namespace.
func program(proto byte, host netip.AddrPort) string {
	files := map[byte][]string{
		unix.IPPROTO_TCP: {"tcp", "tcp6"}, unix.IPPROTO_UDP: {"udp", "udp6"},
	}[proto]
	for _, f := range files {
		b, err := os.ReadFile("/proc/thread-self/net/" + f)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			inode, ok := listener(line, proto, host.Port())
			if !ok {
				continue
			}
			if p := owner(inode); p != "" {
				return p
			}
		}
	}
	return ""
}

// tcpListen is TCP_LISTEN of include/net/tcp_states.h, as those files write it.
const tcpListen = "0A"

// listener reads a line of /proc/net/tcp: number, local address in hexadecimal
// with its port, remote address, state, queues, timer, retransmits, user,
// timeout, inode (Linux, Documentation/networking/proc_net_tcp.rst).
func listener(line string, proto byte, port uint16) (inode string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 || proto == unix.IPPROTO_TCP && f[3] != tcpListen {
		return "", false
	}
	_, hex, _ := strings.Cut(f[1], ":")
	n, err := strconv.ParseUint(hex, 16, 16)
	return f[9], err == nil && uint16(n) == port
}

// owner finds the process that has the socket open.
func owner(inode string) string {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return ""
	}
	for _, p := range processes {
		if !has(p, "socket:["+inode+"]") {
			continue
		}
		if name, err := os.ReadFile(p + "/comm"); err == nil {
			return fmt.Sprintf(" (%s, process %s)", bytes.TrimSpace(name), filepath.Base(p))
		}
	}
	return ""
}

func has(process, file string) bool {
	fds, _ := os.ReadDir(process + "/fd") // none: it is gone, or not ours to see
	for _, fd := range fds {
		if is, err := os.Readlink(filepath.Join(process, "fd", fd.Name())); err == nil && is == file {
			return true
		}
	}
	return false
}
