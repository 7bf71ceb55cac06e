// Package etc writes the files of /etc that a container has of us: hostname, hosts and
// resolv.conf. Containers have them mounted and may write to them: a refresh changes
// lines that were ours and leaves the others, and what is read back is bounded.
package etc

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Input is what a container's hostname, hosts and resolv.conf depend on.
type Input struct {
	Dir        string // the container's folder
	Hostname   string
	Domainname string
	IPs        []netip.Addr // of the container, in order of its networks
	Names      []string     // further names that it has at its addresses
	Linked     []HostLine   // of --link
	ExtraHosts []string     // --add-host: "name:address", address may be "host-gateway"

	// HostGateway is what host-gateway stands for: one IPv4, one IPv6 address, or both.
	HostGateway []netip.Addr

	DNS        []netip.Addr // --dns
	DNSSearch  []string     // --dns-search; "." alone is none
	DNSOptions []string     // --dns-option

	// Resolver answers names inside the container (127.0.0.11); the zero value
	// has the container ask the host's name servers itself.
	Resolver netip.Addr

	// HostNetwork says that the container is in the host's network namespace:
	// the host's loopback name servers work there and its hosts file holds.
	HostNetwork bool

	// Host files; "" is /etc/hosts and /etc/resolv.conf. Tests give others.
	HostsPath, ResolvPath string
}

// HostLine is a line of /etc/hosts: an address and its names, separated by blanks.
type HostLine struct {
	Addr  netip.Addr
	Names string
}

// Write writes the three files. Those that are there already are changed in place:
// running containers that have joined this one's network have them mounted.
func Write(in Input) error {
	hosts, err := hostsFile(in)
	if err != nil {
		return err
	}
	resolv, err := resolvFile(in)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{
		{"hostname", []byte(joinNonEmpty(".", in.Hostname, in.Domainname) + "\n")},
		{"hosts", hosts},
		{"resolv.conf", resolv},
	} {
		if err := writeFile(filepath.Join(in.Dir, f.name), f.content); err != nil {
			return err
		}
	}
	return nil
}

// writeFile makes name whole or not at all, if it is not there. It is not synced:
// these files are written anew at each start.
func writeFile(name string, content []byte) error {
	if err := overwrite(name, content); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tmp := name + ".new"
	// What a killed daemon left there is no file that anyone has mounted.
	if err := os.WriteFile(tmp, content, 0o644); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o644); err != nil { // whatever the umask
		return err
	}
	return os.Rename(tmp, name)
}

// overwrite takes back what the container made of a file: its content, which is
// replaced longest first, so that who reads meanwhile has whole lines, owner and mode.
func overwrite(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(content, 0); err != nil {
		return err
	}
	return errors.Join(f.Truncate(int64(len(content))), f.Chown(os.Geteuid(), os.Getegid()), f.Chmod(0o644))
}

// maxHostFile bounds the host's own files, which an operator may have made huge.
const maxHostFile = 1 << 20

const loopbackHosts = "127.0.0.1\tlocalhost\n" +
	"::1\tlocalhost ip6-localhost ip6-loopback\n" +
	"fe00::\tip6-localnet\n" +
	"ff00::\tip6-mcastprefix\n" +
	"ff02::1\tip6-allnodes\n" +
	"ff02::2\tip6-allrouters\n"

func hostsFile(in Input) ([]byte, error) {
	var b strings.Builder
	if in.HostNetwork {
		own, err := readHostFile(in.HostsPath, "/etc/hosts")
		if err != nil {
			return nil, err
		}
		b.Write(own)
		if len(own) > 0 && own[len(own)-1] != '\n' {
			b.WriteByte('\n')
		}
	} else {
		b.WriteString(loopbackHosts)
	}
	for _, h := range in.ExtraHosts {
		name, addr, err := ParseExtraHost(h)
		if err != nil {
			return nil, err
		}
		if addr != hostGateway {
			fmt.Fprintf(&b, "%s\t%s\n", addr, name)
			continue
		}
		if len(in.HostGateway) == 0 {
			return nil, invalid(fmt.Sprintf("unable to derive the IP value for host-gateway of %q", h))
		}
		for _, a := range in.HostGateway {
			fmt.Fprintf(&b, "%s\t%s\n", a, name)
		}
	}
	if in.HostNetwork {
		return []byte(b.String()), nil
	}
	for _, l := range in.Linked {
		fmt.Fprintf(&b, "%s\t%s\n", l.Addr, l.Names)
	}
	var names []string
	if in.Domainname != "" {
		names = append(names, in.Hostname+"."+in.Domainname)
	}
	names = append(append(names, in.Hostname), in.Names...)
	for _, ip := range in.IPs {
		if line := joinNonEmpty(" ", names...); line != "" {
			fmt.Fprintf(&b, "%s\t%s\n", ip.WithZone(""), line)
		}
	}
	return []byte(b.String()), nil
}

const hostGateway = "host-gateway"

// ParseExtraHost reads one --add-host. Docker takes "name:addr", where only the
// first colon counts, "name=addr" from newer clients, and IPv6 in brackets.
func ParseExtraHost(s string) (name, addr string, err error) {
	name, addr, ok := strings.Cut(s, ":")
	if n, a, eq := strings.Cut(s, "="); eq && (!ok || len(n) < len(name)) {
		name, addr, ok = n, a, true
	}
	if !ok || name == "" || strings.ContainsAny(name, " \t\r\n\x00") {
		return "", "", invalid(fmt.Sprintf("bad format for add-host: %q", s))
	}
	if addr == hostGateway {
		return name, addr, nil
	}
	if strings.HasPrefix(addr, "[") && strings.HasSuffix(addr, "]") {
		addr = addr[1 : len(addr)-1]
	}
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return "", "", invalid(fmt.Sprintf("invalid IP address in add-host: %q", addr))
	}
	return name, ip.String(), nil
}

func joinNonEmpty(sep string, parts ...string) string {
	var out []string
	for _, p := range parts {
		if p != "" {
			out = append(out, p)
		}
	}
	return strings.Join(out, sep)
}

// invalid is an InvalidArgument that prints msg alone.
func invalid(msg string) error { return errdefs.ErrInvalidArgument.WithMessage(msg) }
