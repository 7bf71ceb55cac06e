package config

import (
	"fmt"
	"io"
	"slices"

	"github.com/berth-engine/berth/pkg/images/policy"
	"github.com/spf13/pflag"
)

// settings is what was said, before anything is checked or implied. Flags and
// the file write to the same fields: both for one setting is a conflict.
type settings struct {
	file              string
	version, validate bool

	hosts, readOnlyHosts, labels, insecure, mirrors, cdiDirs []string

	dataRoot, execRoot, pidfile  string
	debug, init, liveRestore     bool
	experimental                 bool
	logLevel, logFormat          string
	group, bridge                string
	mtu, shutdownTimeout         int
	downloads, uploads, attempts int
	proxies                      Proxies
	subnets                      bridgeSettings
	networkOptions               networkOptions
	traffic                      Traffic
	hostIP                       string
	imageGC                      policy.Policy
	discard                      bool
	snapshotters                 map[string]string
	pools                        []Pool
	runtimes                     map[string]Runtime
	defaultRuntime               string
	containerd, namespace        string
	cniPlugins, cniConf          string
	storageDriver, logDriver     string
	shmSize                      size
	ulimits                      ulimits
	ipcMode, cgroupnsMode        string
	cgroupParent, seccomp        string
	noNewPrivileges              bool
	dns, dnsSearch, dnsOptions   []string
	hostGateways, execOptions    []string
	logOpts                      map[string]string
	metricsAddr                  string
	tls, tlsVerify               bool
	tlsCACert, tlsCert, tlsKey   string

	builder     Builder
	features    map[string]bool
	initPath    string
	hostGateway string

	options []*option
}

// option is one setting under its two names.
type option struct {
	flag, short string // "" when it is a key only
	key         string // in daemon.json; "" when it is a flag only
	usage       string
	dst         any // what both write to
	given       bool
	merge       bool // flag and file add up (dockerd's rule for runtimes)
	live        bool // a reload applies it
}

func newSettings() *settings {
	s := &settings{
		file: DefaultFile, dataRoot: DefaultDataRoot, execRoot: DefaultExecRoot,
		logLevel: "info", logFormat: "text", bridge: "berth0", cniPlugins: "/opt/cni/bin", cniConf: "/etc/cni/net.d",
		defaultRuntime: BuiltinRuntime, namespace: "berth", storageDriver: "overlayfs",
		logDriver: "json-file", liveRestore: true, shutdownTimeout: 15,
		traffic:   Traffic{ICC: true, Masquerade: true, Forward: true, UserlandProxy: true},
		downloads: 3, uploads: 5, attempts: 5,
		tlsCACert: defaultCertDir + "/ca.pem", tlsCert: defaultCertDir + "/cert.pem",
		tlsKey:   defaultCertDir + "/key.pem",
		runtimes: map[string]Runtime{}, logOpts: map[string]string{}, snapshotters: map[string]string{}, ulimits: ulimits{}, features: map[string]bool{}, networkOptions: networkOptions{},
	}
	s.options = slices.Concat(s.daemonOptions(), s.containerOptions(), s.accessOptions())
	s.options = slices.Concat(s.options, s.subnets.options(), s.traffic.options(&s.hostIP), fixedOptions())
	return s
}

// flagSet binds every option to its flag.
func (s *settings) flagSet(out io.Writer) *pflag.FlagSet {
	fs := pflag.NewFlagSet("berthd", pflag.ContinueOnError)
	fs.SetOutput(out)
	fs.SortFlags = true
	fs.Usage = func() {
		_, _ = fmt.Fprintf(out, "Usage:  berthd [OPTIONS]\n\nA container engine that speaks Docker and is made of containerd.\n\nOptions:\n%s", fs.FlagUsagesWrapped(100))
	}
	for _, o := range s.options {
		if o.flag == "" {
			continue
		}
		switch dst := o.dst.(type) {
		case *string:
			fs.StringVarP(dst, o.flag, o.short, *dst, o.usage)
		case *bool:
			fs.BoolVarP(dst, o.flag, o.short, *dst, o.usage)
		case *int:
			fs.IntVarP(dst, o.flag, o.short, *dst, o.usage)
		case *[]string:
			fs.VarP((*listValue)(dst), o.flag, o.short, o.usage)
		case *[]Pool:
			fs.VarP((*poolsValue)(dst), o.flag, o.short, o.usage)
		case *map[string]string:
			fs.VarP((*mapValue)(dst), o.flag, o.short, o.usage)
		case *map[string]bool:
			fs.VarP((*boolsValue)(dst), o.flag, o.short, o.usage)
		case *fixed:
			dst.bind(fs, o.flag, o.usage)
		case *map[string]Runtime:
			fs.VarP((*runtimesValue)(dst), o.flag, o.short, o.usage)
		case pflag.Value:
			fs.VarP(dst, o.flag, o.short, o.usage)
		default:
			panic(fmt.Sprintf("flag %s has no binding for %T", o.flag, dst)) // a test makes every flag
		}
	}
	return fs
}

// given reports whether the setting behind dst was set by flag or file.
func (s *settings) given(dst any) bool {
	for _, o := range s.options {
		if o.dst == dst {
			return o.given
		}
	}
	return false
}

// daemonOptions say where things are and what the daemon is made of.
func (s *settings) daemonOptions() []*option {
	return []*option{
		{flag: "host", short: "H", key: "hosts", dst: &s.hosts, usage: "Where to listen: unix://PATH, tcp://HOST:PORT or fd:// (repeatable; default unix://EXEC-ROOT/berth.sock)"},
		{flag: "read-only-host", key: "read-only-hosts", dst: &s.readOnlyHosts, usage: "Like --host, for clients that may look and change nothing (repeatable)"},
		{flag: "data-root", key: "data-root", dst: &s.dataRoot, usage: "Root directory of persistent state"},
		{flag: "exec-root", key: "exec-root", dst: &s.execRoot, usage: "Root directory of state that is valid until reboot"},
		{flag: "pidfile", short: "p", key: "pidfile", dst: &s.pidfile, usage: "Path of the PID file (default EXEC-ROOT/berthd.pid)"},
		{flag: "config-file", dst: &s.file, usage: "Configuration file"},
		{flag: "debug", short: "D", key: "debug", live: true, dst: &s.debug, usage: "Log at debug level, with the spans of each request"},
		{flag: "log-level", short: "l", key: "log-level", live: true, dst: &s.logLevel, usage: `Level of berthd's log ("debug"|"info"|"warn"|"error")`},
		{flag: "log-format", key: "log-format", dst: &s.logFormat, usage: `Format of berthd's log ("text"|"json")`},
		{flag: "group", short: "G", key: "group", dst: &s.group, usage: `Group of the unix socket (default "berth" where it exists)`},
		{flag: "label", key: "labels", live: true, dst: &s.labels, usage: "Label of the daemon, KEY=VALUE (repeatable)"},
		{flag: "bridge", short: "b", key: "bridge", dst: &s.bridge, usage: `Bridge of the default network, made when absent; "none" for no such network`},
		{flag: "mtu", key: "mtu", dst: &s.mtu, usage: "MTU of container links (default: the default route's)"},
		{flag: "default-address-pool", key: "default-address-pools", dst: &s.pools, usage: "Where subnets of networks come from, base=PREFIX,size=BITS (repeatable)"},
		{flag: "default-network-opt", key: "default-network-opts", dst: &s.networkOptions, usage: "Option of new networks of a driver that do not say otherwise, DRIVER=KEY=VALUE (repeatable)"},
		{flag: "cni-bin-dir", key: "cni-bin-dir", dst: &s.cniPlugins, usage: "Folder of CNI plugins, besides those that come with berthd"},
		{flag: "cni-conf-dir", key: "cni-conf-dir", dst: &s.cniConf, usage: "Folder of CNI configuration lists, which appear as networks"},
		{flag: "add-runtime", key: "runtimes", live: true, dst: &s.runtimes, merge: true, usage: "OCI runtime, NAME=PATH (repeatable)"},
		{flag: "default-runtime", key: "default-runtime", live: true, dst: &s.defaultRuntime, usage: "OCI runtime of containers that name none"},
		{flag: "containerd", key: "containerd", dst: &s.containerd, usage: "Socket of an existing containerd to use instead of the embedded one"},
		{flag: "containerd-namespace", key: "containerd-namespace", dst: &s.namespace, usage: "containerd namespace of the containers"},
		{flag: "storage-driver", short: "s", key: "storage-driver", dst: &s.storageDriver, usage: "containerd snapshotter"},
		{flag: "proxy-snapshotter", key: "proxy-snapshotters", dst: &s.snapshotters, usage: "Snapshotter of another process for the embedded containerd, NAME=SOCKET (repeatable); --storage-driver chooses it"},
		{flag: "discard-unpacked-layers", key: "discard-unpacked-layers", dst: &s.discard, usage: "Drop the compressed layers of what was pulled or loaded once they are unpacked; such images cannot be pushed or saved"},
		{flag: "image-gc-high", key: "image-gc.high", dst: &s.imageGC.High, usage: "Percent of the disk above which unused images are removed, 0 for never"},
		{flag: "image-gc-low", key: "image-gc.low", dst: &s.imageGC.Low, usage: "Percent of the disk at which that ends"},
		{flag: "image-gc-keep", key: "image-gc.keep", dst: &s.imageGC.Keep, usage: "Names of images that are not removed so, NAME[:TAG] with wildcards (repeatable)"},
		{flag: "image-gc-dry-run", key: "image-gc.dry-run", dst: &s.imageGC.DryRun, usage: "Log which images would be removed, and leave them"},
	}
}

// containerOptions are what containers get that do not say.
func (s *settings) containerOptions() []*option {
	return []*option{
		{flag: "init", key: "init", dst: &s.init, usage: "Run an init as PID 1 of each container"},
		{flag: "init-path", key: "init-path", dst: &s.initPath, usage: "Program to use as that init (default berth-init, which comes with berthd)"},
		{flag: "log-driver", key: "log-driver", dst: &s.logDriver, usage: "Log driver of containers that name none"},
		{flag: "log-opt", key: "log-opts", dst: &s.logOpts, usage: "Option of the default log driver, KEY=VALUE (repeatable)"},
		{flag: "default-shm-size", key: "default-shm-size", dst: &s.shmSize, usage: "Size of /dev/shm of containers that name none (default 64MiB)"},
		{flag: "default-ulimit", key: "default-ulimits", dst: &s.ulimits, usage: "Limit of processes in containers, NAME=SOFT[:HARD] (repeatable)"},
		{flag: "default-ipc-mode", key: "default-ipc-mode", dst: &s.ipcMode, usage: `IPC mode of containers that name none ("shareable"|"private") (default private)`},
		{flag: "default-cgroupns-mode", key: "default-cgroupns-mode", dst: &s.cgroupnsMode, usage: `Cgroup namespace of containers that name none ("host"|"private") (default: host on cgroup v1, private on v2)`},
		{flag: "cgroup-parent", key: "cgroup-parent", dst: &s.cgroupParent, usage: "Parent cgroup of containers that name none (default /berth)"},
		{flag: "no-new-privileges", key: "no-new-privileges", dst: &s.noNewPrivileges, usage: "Set no-new-privileges for containers that do not say otherwise"},
		{flag: "seccomp-profile", key: "seccomp-profile", dst: &s.seccomp, usage: `Path of the seccomp profile of containers that name none, "unconfined" or "builtin"`},
		{flag: "dns", key: "dns", dst: &s.dns, usage: "DNS server of containers that name none (repeatable)"},
		{flag: "dns-opt", key: "dns-opts", dst: &s.dnsOptions, usage: "DNS option of containers that name none (repeatable)"},
		{flag: "dns-search", key: "dns-search", dst: &s.dnsSearch, usage: "DNS search domain of containers that name none (repeatable)"},
		{flag: "host-gateway-ip", key: "host-gateway-ips", dst: &s.hostGateways, usage: "What host-gateway in --add-host stands for (repeatable, one of each family; default: the default bridge's address)"},
		{key: "host-gateway-ip", dst: &s.hostGateway, usage: "One of host-gateway-ips, by the name that it had in older files"},
		{flag: "exec-opt", key: "exec-opts", dst: &s.execOptions, usage: "Only native.cgroupdriver=cgroupfs, which is so"},
		{flag: "cdi-spec-dir", key: "cdi-spec-dirs", dst: &s.cdiDirs, usage: "Folder of CDI descriptions of devices (repeatable; default /etc/cdi and /var/run/cdi; \"\" for none)"},
	}
}

// accessOptions are about registries and clients.
func (s *settings) accessOptions() []*option {
	return []*option{
		{flag: "insecure-registry", key: "insecure-registries", live: true, dst: &s.insecure, usage: "Registry that may speak plain HTTP or show any certificate: HOST[:PORT] or CIDR (repeatable)"},
		{flag: "registry-mirror", key: "registry-mirrors", live: true, dst: &s.mirrors, usage: "Mirror of Docker Hub, URL (repeatable); those of other registries are configured in certs.d/HOST/hosts.toml"},
		{flag: "max-concurrent-downloads", key: "max-concurrent-downloads", live: true, dst: &s.downloads, usage: "Layers of one pull that are fetched at the same time"},
		{flag: "max-concurrent-uploads", key: "max-concurrent-uploads", live: true, dst: &s.uploads, usage: "Layers of one push that are sent at the same time"},
		{flag: "max-download-attempts", key: "max-download-attempts", live: true, dst: &s.attempts, usage: "Attempts to transfer a layer before the pull or push fails"},
		{flag: "http-proxy", key: "proxies.http-proxy", dst: &s.proxies.HTTP, usage: "Proxy for plain HTTP registries (default HTTP_PROXY of the environment)"},
		{flag: "https-proxy", key: "proxies.https-proxy", dst: &s.proxies.HTTPS, usage: "Proxy for HTTPS registries (default HTTPS_PROXY of the environment)"},
		{flag: "no-proxy", key: "proxies.no-proxy", dst: &s.proxies.No, usage: "Hosts and networks that are reached without a proxy, separated by commas (default NO_PROXY of the environment)"},
		{key: "builder", dst: &s.builder, usage: "Builder's cache, entitlements, frontends and largest context: see build.md"},
		{flag: "tls", key: "tls", dst: &s.tls, usage: "Use TLS on tcp hosts; implied by --tlsverify. An explicit --tls=false allows tcp without any protection"},
		{flag: "tlsverify", key: "tlsverify", dst: &s.tlsVerify, usage: "Use TLS and demand a certificate of clients"},
		{flag: "tlscacert", key: "tlscacert", dst: &s.tlsCACert, usage: "CA that clients' certificates are checked against"},
		{flag: "tlscert", key: "tlscert", dst: &s.tlsCert, usage: "Certificate of the server"},
		{flag: "tlskey", key: "tlskey", dst: &s.tlsKey, usage: "Key of the server"},
		{flag: "feature", key: "features", dst: &s.features, usage: "dockerd's features, NAME=BOOL: containerd-snapshotter and buildkit are always on, cdi may be off (repeatable)"},
		{flag: "metrics-addr", key: "metrics-addr", dst: &s.metricsAddr, usage: "HOST:PORT to serve metrics for Prometheus at, under /metrics"},
		{flag: "shutdown-timeout", key: "shutdown-timeout", live: true, dst: &s.shutdownTimeout, usage: "Seconds that requests get to finish at shutdown, -1 for no end; containers go on"},
		{flag: "live-restore", key: "live-restore", dst: &s.liveRestore, usage: "Containers outlive the daemon: always so, accepted for dockerd's configurations"},
		{flag: "experimental", key: "experimental", dst: &s.experimental, usage: "Serve what Docker has as experimental features: checkpoints"},
		{flag: "validate", dst: &s.validate, usage: "Check the configuration and exit"},
		{flag: "version", short: "v", dst: &s.version, usage: "Print the version and exit"},
	}
}
