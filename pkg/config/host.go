package config

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Ports that a tcp host without one gets; IANA has them for Docker.
const (
	plainPort = "2375"
	tlsPort   = "2376"
)

// maxSocketPath is what sockaddr_un holds, less the final NUL (unix(7)).
const maxSocketPath = 107

// Host is one address that the API listens on.
type Host struct {
	Proto string // "unix", "tcp" or "fd"
	// Addr is an absolute path for unix, host:port for tcp (IPv6 in brackets),
	// and for fd "" (all sockets that were passed), a number or a socket unit's name.
	Addr string
	// ReadOnly refuses whoever comes this way all that changes something.
	ReadOnly bool
}

func (h Host) String() string { return h.Proto + "://" + h.Addr }

// ParseHost reads a value of --host. What a short form leaves out is filled in:
// unix:// is socket, tcp:// is localhost with the port that goes with useTLS. A
// value without a scheme is tcp, as dockerd has it.
func ParseHost(value, socket string, useTLS bool) (Host, error) {
	value = strings.TrimSpace(value)
	proto, addr, ok := strings.Cut(value, "://")
	if !ok {
		proto, addr = "tcp", value
	}
	var err error
	switch proto {
	case "unix":
		addr, err = unixAddr(addr, socket)
	case "tcp":
		if !ok && addr == "" {
			return Host{}, fmt.Errorf("invalid bind address (%s): it is empty", value)
		}
		addr, err = tcpAddr(addr, useTLS)
	case "fd":
		if addr == "*" {
			addr = ""
		}
		if strings.ContainsAny(addr, "/\x00 ") {
			err = fmt.Errorf("%q is neither a number nor a socket's name", addr)
		}
	default:
		err = fmt.Errorf("unknown scheme %q; there are unix://, tcp:// and fd://", proto)
	}
	if err != nil {
		return Host{}, fmt.Errorf("invalid bind address (%s): %w", value, err)
	}
	return Host{Proto: proto, Addr: addr}, nil
}

func unixAddr(path, fallback string) (string, error) {
	if path == "" {
		path = fallback
	}
	switch {
	case !filepath.IsAbs(path):
		return "", fmt.Errorf("%q is not an absolute path", path)
	case strings.ContainsRune(path, 0):
		return "", fmt.Errorf("%q contains a NUL", path)
	case len(path) > maxSocketPath:
		return "", fmt.Errorf("a socket's path has at most %d bytes, this one has %d", maxSocketPath, len(path))
	}
	return filepath.Clean(path), nil
}

func tcpAddr(addr string, useTLS bool) (string, error) {
	port := plainPort
	if useTLS {
		port = tlsPort
	}
	addr = strings.TrimSuffix(addr, "/")
	host, given, err := net.SplitHostPort(addr)
	if err != nil { // it may have no port, which may not be all that is wrong
		if host, given, err = net.SplitHostPort(addr + ":" + port); err != nil {
			return "", err
		}
	}
	if given != "" {
		port = given
	}
	if strings.ContainsAny(host, "/?#@ []\x00") {
		return "", fmt.Errorf("%q is not a host", host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || port != strconv.FormatUint(n, 10) {
		return "", fmt.Errorf("%q is not a port", port)
	}
	if host == "" && !strings.HasPrefix(addr, ":") {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}

// resolveHosts runs after the paths and TLS are known.
func (s *settings) resolveHosts(c *Config) error {
	values := s.hosts
	if len(values) == 0 {
		values = []string{"unix://"}
	}
	writable := len(values)
	values = append(slices.Clip(values), s.readOnlyHosts...)
	// An operator who says --tls=false or --tlsverify=false means it; these are
	// the words that dockerd takes for consent as well.
	consent := s.given(&s.tls) && !s.tls || s.given(&s.tlsVerify) && !s.tlsVerify
	seen := map[Host]bool{}
	for i, v := range values {
		h, err := ParseHost(v, filepath.Join(c.ExecRoot, "berth.sock"), c.TLS != nil)
		if err != nil {
			return err
		}
		if seen[h] {
			return fmt.Errorf("host %s is given twice", h)
		}
		seen[h] = true
		h.ReadOnly = i >= writable
		if h.Proto == "tcp" && (c.TLS == nil || !c.TLS.Verify) && !consent {
			gives := "gives root on this machine"
			if h.ReadOnly {
				gives = "shows all that runs here"
			}
			return fmt.Errorf("host %s without --tlsverify %s to everyone who reaches it: "+
				"use --tlsverify with certificates, or say --tls=false to have it all the same", h, gives)
		}
		c.Hosts = append(c.Hosts, h)
	}
	return nil
}
