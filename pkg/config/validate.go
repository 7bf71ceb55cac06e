package config

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// dockerd's level names; fatal and panic are above what berthd logs.
var levels = map[string]slog.Level{
	"trace": slog.LevelDebug, "debug": slog.LevelDebug, "info": slog.LevelInfo,
	"warn": slog.LevelWarn, "warning": slog.LevelWarn, "error": slog.LevelError,
	"fatal": slog.LevelError + 4, "panic": slog.LevelError + 4,
}

func (s *settings) resolveLog(c *Config) error {
	level, ok := levels[strings.ToLower(s.logLevel)]
	if !ok {
		return fmt.Errorf("invalid logging level: %s", s.logLevel)
	}
	c.LogLevel = level
	if c.LogLevel <= slog.LevelDebug {
		c.Debug = true
	}
	if c.Debug {
		c.LogLevel = slog.LevelDebug
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return fmt.Errorf("invalid log format: %s", s.logFormat)
	}
	return nil
}

func (s *settings) resolveNetwork(c *Config) error {
	if !validInterface(c.Bridge) {
		return fmt.Errorf("bridge: %q is not the name of a network interface", c.Bridge)
	}
	if c.MTU != 0 && (c.MTU < 68 || c.MTU > 65535) { // RFC 791's least, and IP's longest packet
		return fmt.Errorf("invalid default MTU: %d", c.MTU)
	}
	var err error
	if c.DefaultBridge, err = s.subnets.resolve(c.Bridge); err != nil {
		return err
	}
	if err := s.networkOptions.check(); err != nil {
		return err
	}
	for _, pool := range c.AddressPools {
		if err := checkPool(pool); err != nil {
			return err
		}
	}
	return nil
}

// validInterface is the kernel's dev_valid_name, without the % that asks it to
// choose a number.
func validInterface(name string) bool {
	if name == "" || len(name) > 15 || name == "." || name == ".." {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r == '/' || r == ':' || r == '%' || r > '~'
	})
}

func broadcast(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

func checkPool(p Pool) error {
	if !p.Base.IsValid() {
		return errors.New("default-address-pools: base is missing")
	}
	if p.Base != p.Base.Masked() {
		return fmt.Errorf("default-address-pools: base %s has host bits set; it must be %s", p.Base, p.Base.Masked())
	}
	last := p.Base.Addr().BitLen() - 2 // the gateway and one container
	if p.Size < p.Base.Bits() || p.Size > last {
		return fmt.Errorf("default-address-pools: size of %s must be from %d to %d, not %d", p.Base, p.Base.Bits(), last, p.Size)
	}
	return nil
}

func (s *settings) resolveRuntimes(c *Config) error {
	c.Runtimes = make(map[string]Runtime, len(s.runtimes))
	for _, name := range slices.Sorted(maps.Keys(s.runtimes)) {
		r := s.runtimes[name]
		if name == BuiltinRuntime {
			return fmt.Errorf("runtime name '%s' is reserved", BuiltinRuntime)
		}
		if !identifier.MatchString(name) {
			return fmt.Errorf("runtime %q: a name consists of letters, digits, and . _ - between them", name)
		}
		if strings.Contains(r.Path, "/") && !filepath.IsAbs(r.Path) {
			return fmt.Errorf("runtime %s: path %q is neither absolute nor the name of a program in PATH", name, r.Path)
		}
		path, err := exec.LookPath(r.Path)
		if err != nil {
			return fmt.Errorf("runtime %s: %w", name, err)
		}
		c.Runtimes[name] = Runtime{Path: path}
	}
	if _, ok := c.Runtimes[c.DefaultRuntime]; !ok && c.DefaultRuntime != BuiltinRuntime {
		return fmt.Errorf("specified default runtime '%s' does not exist", c.DefaultRuntime)
	}
	return nil
}

// identifier is containerd's (pkg/identifiers), which bounds it to 76 bytes too.
var identifier = regexp.MustCompile(`^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$`)

func (s *settings) resolveContainerd(c *Config) error {
	if c.Containerd = strings.TrimPrefix(c.Containerd, "unix://"); c.Containerd != "" && !filepath.IsAbs(c.Containerd) {
		return fmt.Errorf("containerd: %q is not an absolute path", c.Containerd)
	}
	if !identifier.MatchString(c.ContainerdNamespace) || len(c.ContainerdNamespace) > 76 {
		return fmt.Errorf("containerd-namespace: %q is not a namespace's name", c.ContainerdNamespace)
	}
	if c.StorageDriver == "overlay2" {
		c.StorageDriver = "overlayfs" // what daemon.json files written for dockerd mean
	}
	if !identifier.MatchString(c.StorageDriver) {
		return fmt.Errorf("storage-driver: %q is not a snapshotter's name", c.StorageDriver)
	}
	return nil
}

func (s *settings) resolveRest(c *Config) (err error) {
	if !s.liveRestore {
		return errors.New("live-restore: false is not possible; containers always outlive berthd")
	}
	if c.ShutdownTimeout < -1 {
		return fmt.Errorf("invalid shutdown timeout: %d", c.ShutdownTimeout)
	}
	if c.MetricsAddr != "" {
		_, port, err := net.SplitHostPort(c.MetricsAddr)
		if err == nil {
			_, err = net.LookupPort("tcp", port) // a number, or a name in /etc/services
		}
		if err != nil {
			return fmt.Errorf("metrics-addr: %w", err)
		}
	}
	if err := checkLabels(c.Labels); err != nil {
		return err
	}
	if c.CDISpecDirs, err = s.checkCDIDirs(); err != nil {
		return err
	}
	return nil
}

func checkLabels(labels []string) error {
	seen := map[string]string{}
	for _, l := range labels {
		key, value, ok := strings.Cut(l, "=")
		if !ok || key == "" {
			return fmt.Errorf("bad attribute format: %s", l)
		}
		if have, ok := seen[key]; ok && have != value {
			return fmt.Errorf("conflict labels for %s=%s and %s=%s", key, value, key, have)
		}
		seen[key] = value
	}
	return nil
}

// checkCDIDirs: an empty name among them is no folder, so that [""] is none at all.
func (s *settings) checkCDIDirs() (dirs []string, err error) {
	if s.cdiDirs == nil {
		return []string{"/etc/cdi", "/var/run/cdi"}, nil // dockerd's
	}
	for _, dir := range s.cdiDirs {
		switch {
		case dir == "":
		case !filepath.IsAbs(dir):
			return nil, fmt.Errorf("cdi-spec-dirs: %q is not an absolute path", dir)
		default:
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}
