package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"

	"github.com/docker/go-units"
)

// resolveContainers checks the defaults of containers; what a container's own
// request would be refused for is refused of the daemon, too.
func (s *settings) resolveContainers(c *Config) (err error) {
	c.Containers = Containers{
		Init: s.init, InitPath: s.initPath, LogDriver: s.logDriver, LogOpts: s.logOpts, ShmSize: int64(s.shmSize), IpcMode: s.ipcMode, CgroupnsMode: s.cgroupnsMode,
		CgroupParent: s.cgroupParent, NoNewPrivileges: s.noNewPrivileges, DNSSearch: s.dnsSearch, DNSOptions: s.dnsOptions,
	}
	switch {
	case c.LogDriver == "":
		return errors.New("log-driver: it is empty")
	case s.ipcMode != "" && s.ipcMode != "private" && s.ipcMode != "shareable":
		return fmt.Errorf("IPC mode %q is not supported: there are private and shareable", s.ipcMode)
	case s.cgroupnsMode != "" && s.cgroupnsMode != "private" && s.cgroupnsMode != "host":
		return fmt.Errorf("default cgroup namespace mode %q is invalid: there are host and private", s.cgroupnsMode)
	case s.initPath != "" && !path.IsAbs(s.initPath):
		return fmt.Errorf("init-path: %q is not an absolute path", s.initPath)
	case s.cgroupParent != "" && !path.IsAbs(s.cgroupParent):
		return fmt.Errorf("cgroup-parent: %q is not an absolute path", s.cgroupParent)
	}
	if c.Ulimits, err = s.checkUlimits(); err != nil {
		return err
	}
	if c.Seccomp, err = readProfile(s.seccomp); err != nil {
		return err
	}
	if c.DNS, err = addresses("dns", s.dns); err != nil {
		return err
	}
	if s.hostGateway != "" {
		if len(s.hostGateways) > 0 {
			return errors.New("host-gateway-ip and host-gateway-ips are given both")
		}
		s.hostGateways = []string{s.hostGateway}
	}
	if c.HostGateways, err = addresses("host-gateway-ips", s.hostGateways); err != nil {
		return err
	}
	if len(c.HostGateways) > 2 || len(c.HostGateways) == 2 && c.HostGateways[0].Is4() == c.HostGateways[1].Is4() {
		return errors.New("host-gateway-ips: at most one IPv4 and one IPv6 address")
	}
	for _, o := range s.execOptions {
		if o != "native.cgroupdriver=cgroupfs" {
			return fmt.Errorf("exec-opts: %q is not possible; there is native.cgroupdriver=cgroupfs, which is the default", o)
		}
	}
	return nil
}

func (s *settings) checkUlimits() (all []*units.Ulimit, err error) {
	for _, name := range slices.Sorted(maps.Keys(s.ulimits)) {
		u := s.ulimits[name]
		if u == nil || u.Name != name {
			return nil, fmt.Errorf("default-ulimits: %s has no limit of that name", name)
		}
		if _, err := u.GetRlimit(); err != nil {
			return nil, fmt.Errorf("default-ulimits: %w", err)
		}
		if u.Hard != -1 && (u.Soft == -1 || u.Soft > u.Hard) {
			return nil, fmt.Errorf("default-ulimits: soft limit of %s is above the hard one", u.Name)
		}
		all = append(all, u)
	}
	return all, nil
}

func addresses(key string, values []string) (out []netip.Addr, err error) {
	for _, v := range values {
		a, err := netip.ParseAddr(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not an IP address", key, v)
		}
		out = append(out, a)
	}
	return out, nil
}

// readProfile gives the JSON of a seccomp profile's file, or the name of a mode.
func readProfile(name string) (string, error) {
	switch name {
	case "", "builtin":
		return "", nil
	case "unconfined":
		return name, nil
	}
	b, err := load(name)
	if err != nil {
		return "", fmt.Errorf("opening seccomp profile failed: %w", err)
	}
	if !json.Valid(b) {
		return "", fmt.Errorf("decoding seccomp profile %s failed: it is not JSON", name)
	}
	return string(b), nil
}
