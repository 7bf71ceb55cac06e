// Package config turns berthd's command line and daemon.json into one checked
// Config. Names and meanings are dockerd's wherever dockerd has them, so that a
// unit file or a daemon.json written for it can be taken over; a setting that
// Berth does not honour is refused by name and never silently ignored.
//
// It reads files and looks programs up, and changes nothing on the machine.
package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/berth-engine/berth/pkg/images/policy"
	"github.com/docker/go-units"
	"github.com/spf13/pflag"
)

// Defaults that other programs of Berth know as well.
const (
	DefaultDataRoot = "/var/lib/berth"
	DefaultExecRoot = "/run/berth"
	DefaultSocket   = DefaultExecRoot + "/berth.sock"
	DefaultFile     = "/etc/berth/daemon.json"
	DefaultGroup    = "berth"
	// BuiltinRuntime is the runc that is installed with berthd.
	BuiltinRuntime = "runc"

	defaultCertDir = "/etc/berth"
)

// ErrHelp is returned by Parse after it wrote the usage because --help was asked.
var ErrHelp = pflag.ErrHelp

// Config is everything that can be said to berthd, checked and with defaults
// filled in. All paths are absolute.
type Config struct {
	Hosts    []Host // where the API listens; at least one
	DataRoot string // survives reboots
	ExecRoot string // valid until reboot
	Pidfile  string
	File     string // the daemon.json that was read; "" when there was none

	Experimental bool // serves what Docker serves with its experimental features only

	Debug     bool
	LogLevel  slog.Level
	LogFormat string // of berthd's own log: "text" or "json"

	// Group owns unix sockets. "" is DefaultGroup where that exists, else root;
	// a group that is named must exist.
	Group  string
	Labels []string // "key=value", shown by info

	Bridge       string // default network's bridge, made when absent; "none": no default network
	MTU          int    // of container links; 0: the default route's
	AddressPools []Pool // where subnets of networks are taken from; none: built-in pools

	DefaultBridge                               // of the network of that bridge
	NetworkOptions map[string]map[string]string // by driver, of new networks that do not say otherwise

	Traffic // of containers

	Runtimes       map[string]Runtime // without BuiltinRuntime
	DefaultRuntime string             // a key of Runtimes or BuiltinRuntime

	CNIPlugins, CNIConf string // folders: of plugins to execute, and of conflists that are networks

	Containerd          string // socket of an existing containerd; "" embeds one
	ContainerdNamespace string
	StorageDriver       string // containerd's snapshotter

	ProxySnapshotters map[string]string // name → socket, for the embedded containerd
	DiscardLayers     bool              // compressed layers go once they are unpacked
	ImageGC           policy.Policy     // which images go when the disk fills; zero: none
	CDISpecDirs       []string          // descriptions of vendors' devices; none: there are none

	Containers // what they get unless they say otherwise

	Builder Builder

	InsecureRegistries []string // host, host:port or CIDR
	RegistryMirrors    []string // URLs of mirrors of Docker Hub, without a slash at the end
	Proxies            Proxies  // of registries; zero fields: the environment's
	// Bounds of pulls and pushes, at least 1.
	MaxDownloads, MaxUploads, MaxDownloadAttempts int

	TLS             *TLS   // for tcp hosts; nil: plain
	MetricsAddr     string // host:port of Prometheus' metrics; "": none
	ShutdownTimeout int    // seconds that requests get to finish at shutdown; -1: without end

	ShowVersion bool // --version: print and leave; nothing else is checked
	Validate    bool // --validate: say whether the configuration is good and leave

	said map[string]string // what flags and file say, by key
}

// Containers are defaults of containers.
type Containers struct {
	Init            bool   // an init as PID 1
	InitPath        string // "": Berth's
	LogDriver       string
	LogOpts         map[string]string
	ShmSize         int64  // bytes; 0: Docker's
	IpcMode         string // "private", "shareable"; "": Docker's
	CgroupnsMode    string // "private", "host"; "": Docker's
	CgroupParent    string // absolute; "": Docker's way, a folder of ours
	Ulimits         []*units.Ulimit
	NoNewPrivileges bool
	Seccomp         string // "unconfined" or a profile's JSON; "": Docker's
	DNS             []netip.Addr
	DNSSearch       []string
	DNSOptions      []string
	HostGateways    []netip.Addr // at most one of each family
}

// Pool is a range that subnets of Size bits are cut from.
type Pool struct {
	Base netip.Prefix `json:"base"`
	Size int          `json:"size"`
}

func (p Pool) String() string { return fmt.Sprintf("base=%s,size=%d", p.Base, p.Size) }

// Proxies are URLs of proxies, and the hosts that are reached without.
type Proxies struct{ HTTP, HTTPS, No string }

// Runtime is an OCI runtime with runc's command line.
type Runtime struct {
	Path string `json:"path"` // absolute once Parse returned
}

// Parse reads args (without the program's name) and the configuration file that
// they name, or the default one where it exists. Usage goes to out when asked
// for, with ErrHelp. Errors name the flag or key and say what is wrong with it.
func Parse(args []string, out io.Writer) (*Config, error) {
	s := newSettings()
	fs := s.flagSet(out)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return nil, ErrHelp
		}
		return nil, fmt.Errorf("%w\nSee 'berthd --help'", err)
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("berthd takes no arguments, only flags: %q\nSee 'berthd --help'", fs.Args())
	}
	if s.version {
		return &Config{ShowVersion: true}, nil
	}
	file, err := s.readFile(fs)
	if err != nil {
		return nil, fmt.Errorf("unable to configure the Berth daemon with file %s: %w", s.file, err)
	}
	c, err := s.resolve()
	if err != nil {
		if file != "" {
			return nil, fmt.Errorf("invalid configuration (flags and %s): %w", file, err)
		}
		return nil, fmt.Errorf("invalid configuration: %w", err)
	}
	c.File = file
	c.said, err = s.said()
	return c, err
}

// resolve applies what one setting implies for another and checks the whole.
func (s *settings) resolve() (*Config, error) {
	c := &Config{
		Experimental: s.experimental, Debug: s.debug, LogFormat: s.logFormat, Group: s.group, Labels: s.labels,
		Bridge: s.bridge, MTU: s.mtu, AddressPools: s.pools, NetworkOptions: s.networkOptions,
		DefaultRuntime: s.defaultRuntime, Containerd: s.containerd,
		ContainerdNamespace: s.namespace, StorageDriver: s.storageDriver, MetricsAddr: s.metricsAddr,
		ShutdownTimeout: s.shutdownTimeout, Validate: s.validate,
	}
	steps := []func(*Config) error{
		s.resolvePaths, s.resolveLog, s.resolveTLS, s.resolveHosts,
		s.resolveNetwork, s.resolveTraffic, s.resolveRuntimes, s.resolveContainerd, s.resolveContainers, s.resolveBuilder, s.resolveRegistries, s.resolveImages, s.resolveRest, s.resolveFeatures,
	}
	for _, step := range steps {
		if err := step(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (s *settings) resolvePaths(c *Config) error {
	if s.pidfile == "" {
		// Below the exec root, so that daemons on roots of their own never meet.
		s.pidfile = filepath.Join(s.execRoot, "berthd.pid")
	}
	for _, p := range []struct {
		name, value string
		dst         *string
	}{
		{"data-root", s.dataRoot, &c.DataRoot},
		{"exec-root", s.execRoot, &c.ExecRoot},
		{"cni-bin-dir", s.cniPlugins, &c.CNIPlugins},
		{"cni-conf-dir", s.cniConf, &c.CNIConf},
		{"pidfile", s.pidfile, &c.Pidfile},
	} {
		if !filepath.IsAbs(p.value) {
			return fmt.Errorf("%s: %q is not an absolute path", p.name, p.value)
		}
		if strings.ContainsRune(p.value, 0) {
			return fmt.Errorf("%s: %q contains a NUL", p.name, p.value)
		}
		*p.dst = filepath.Clean(p.value)
	}
	if c.DataRoot == c.ExecRoot {
		return fmt.Errorf("data-root and exec-root are both %s: the first outlives a reboot, the second must not", c.DataRoot)
	}
	if c.DataRoot == "/" || c.ExecRoot == "/" {
		return errors.New("data-root and exec-root must not be /")
	}
	return nil
}
