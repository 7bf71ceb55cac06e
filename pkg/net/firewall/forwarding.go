package firewall

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Forwarding says what is done when this host does not forward packets, which
// containers need.
type Forwarding struct {
	Off   bool   // nothing: the host is left as it is
	Open  bool   // it is turned on, and the host forwards for everyone
	Notes string // folder that remembers until the next boot that we turned it on; "" is none
}

// router is one IP version's switch.
type router struct {
	proto  byte
	sysctl string
	name   string // of the note
}

var routers = []router{
	{unix.NFPROTO_IPV4, "/proc/sys/net/ipv4/ip_forward", "ipv4"},
	{unix.NFPROTO_IPV6, "/proc/sys/net/ipv6/conf/all/forwarding", "ipv6"},
}

// prepare returns what is to be turned on for networks, and the IP versions
// that may be forwarded for our networks alone: those that we turn on, or did
// so earlier. The note comes first, so that a crash cannot leave an open router.
func (f Forwarding) prepare(networks map[string]Network) (on []router, closed map[byte]bool, err error) {
	closed = map[byte]bool{}
	if f.Off {
		return nil, closed, nil
	}
	for _, r := range routers {
		if !needed(networks, r.proto == unix.NFPROTO_IPV6) {
			continue
		}
		b, err := os.ReadFile(r.sysctl)
		if err != nil {
			return nil, nil, fmt.Errorf("reading whether the host forwards: %w", err)
		}
		if strings.TrimSpace(string(b)) == "0" {
			on = append(on, r)
			if err := f.note(r); err != nil {
				return nil, nil, err
			}
		}
		if !f.Open && f.noted(r) {
			closed[r.proto] = true
		}
	}
	return on, closed, nil
}

func needed(networks map[string]Network, six bool) bool {
	for _, n := range networks {
		for _, s := range n.Subnets {
			if !n.Internal && s.Addr().Is6() == six {
				return true
			}
		}
	}
	return false
}

func (f Forwarding) note(r router) error {
	if f.Notes == "" {
		return nil
	}
	if err := os.MkdirAll(f.Notes, 0o711); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(f.Notes, r.name), nil, 0o600)
}

func (f Forwarding) noted(r router) bool {
	if f.Notes == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(f.Notes, r.name))
	return err == nil
}

// turnOn is called when the table guards what will be forwarded.
func turnOn(routers []router) error {
	for _, r := range routers {
		if r.proto == unix.NFPROTO_IPV6 {
			if err := keepRouterAdvertisements(); err != nil {
				return err
			}
		}
		if err := os.WriteFile(r.sysctl, []byte("1"), 0o644); err != nil {
			return fmt.Errorf("having the host forward packets: %w", err)
		}
	}
	return nil
}

// keepRouterAdvertisements: a host that forwards IPv6 ignores them where
// accept_ra is 1, and would lose its own default route (Linux,
// Documentation/networking/ip-sysctl.rst).
func keepRouterAdvertisements() error {
	files, err := filepath.Glob("/proc/sys/net/ipv6/conf/*/accept_ra")
	if err != nil {
		return err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && strings.TrimSpace(string(b)) == "1" && !strings.Contains(f, "/conf/all/") {
			err = os.WriteFile(f, []byte("2"), 0o644)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) { // an interface that is gone
			return fmt.Errorf("keeping router advertisements: %w", err)
		}
	}
	return nil
}
