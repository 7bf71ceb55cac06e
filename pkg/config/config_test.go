package config

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/docker/go-units"
)

// parse runs Parse with a daemon.json of the given content.
func parse(t *testing.T, file string, args ...string) (*Config, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "daemon.json")
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c, err := Parse(append([]string{"--config-file", name}, args...), &out)
	if out.Len() > 0 {
		t.Errorf("Parse wrote %q; the caller prints errors", out.String())
	}
	return c, err
}

func TestDefaults(t *testing.T) {
	c, err := parse(t, "{}")
	if err != nil {
		t.Fatal(err)
	}
	c.File, c.said = "", nil
	want := &Config{
		Hosts:    []Host{{Proto: "unix", Addr: "/run/berth/berth.sock"}},
		DataRoot: "/var/lib/berth", ExecRoot: "/run/berth", Pidfile: "/run/berth/berthd.pid",
		LogLevel: slog.LevelInfo, LogFormat: "text", Bridge: "berth0", CNIPlugins: "/opt/cni/bin", CNIConf: "/etc/cni/net.d",
		Runtimes: map[string]Runtime{}, DefaultRuntime: "runc",
		ContainerdNamespace: "berth", StorageDriver: "overlayfs", CDISpecDirs: []string{"/etc/cdi", "/var/run/cdi"},
		Containers: Containers{LogDriver: "json-file", LogOpts: map[string]string{}}, ShutdownTimeout: 15,
		MaxDownloads: 3, MaxUploads: 5, MaxDownloadAttempts: 5, Builder: Builder{Frontends: dockerFrontends, MaxContext: defaultMaxContext},
		Traffic:           Traffic{ICC: true, Masquerade: true, Forward: true, UserlandProxy: true},
		ProxySnapshotters: map[string]string{}, NetworkOptions: map[string]map[string]string{},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if c.Hosts[0].String() != "unix://"+DefaultSocket {
		t.Errorf("the default host is %s and DefaultSocket %s", c.Hosts[0], DefaultSocket)
	}
}

func TestFlagAndFileSayTheSame(t *testing.T) {
	args := []string{
		"-H", "unix:///tmp/a.sock", "-H", "fd://", "--data-root", "/a", "--exec-root", "/b/", "-p", "/c.pid",
		"-D", "--log-format", "json", "-G", "adm", "--label", "a=b", "-b", "x0", "--bip", "10.9.0.1/24",
		"--fixed-cidr", "10.9.0.128/25", "--default-gateway", "10.9.0.2", "--ipv6", "--bip6", "fd00:9::1/64", "--fixed-cidr-v6", "fd00:9::8000/120", "--default-gateway-v6", "fd00:9::2",
		"--default-network-opt", "bridge=com.docker.network.driver.mtu=1300",
		"--mtu", "1400", "--default-address-pool", "base=10.0.0.0/8,size=24", "--add-runtime", "sh=/bin/sh",
		"--default-runtime", "sh", "--containerd-namespace", "ns", "-s", "native", "--cni-bin-dir", "/cni", "--cni-conf-dir", "/lists",
		"--init", "--log-driver", "none", "--log-opt", "k=v", "--insecure-registry", "127.0.0.0/8",
		"--tlsverify", "--tlscacert", "/ca", "--tlscert", "/cert", "--tlskey", "/key", "--shutdown-timeout", "3",
		"--registry-mirror", "https://m.example/", "--max-concurrent-downloads", "2", "--max-concurrent-uploads", "7", "--max-download-attempts", "9",
		"--http-proxy", "http://p:1", "--https-proxy", "http://p:2", "--no-proxy", "a,b",
		"--ip", "127.0.0.1", "--icc=false", "--ip-masq=false", "--allow-direct-routing", "--ip-forward=false", "--ip-forward-no-drop", "--userland-proxy=false",
		"--proxy-snapshotter", "far=/far.sock", "--discard-unpacked-layers", "--image-gc-high", "90", "--image-gc-low", "70", "--image-gc-keep", "a/*", "--image-gc-dry-run",
	}
	file := `{"hosts": ["unix:///tmp/a.sock", "fd://"], "data-root": "/a", "exec-root": "/b/", "pidfile": "/c.pid",
		"debug": true, "log-format": "json", "group": "adm", "labels": ["a=b"], "bridge": "x0", "bip": "10.9.0.1/24",
		"fixed-cidr": "10.9.0.128/25", "default-gateway": "10.9.0.2", "ipv6": true, "bip6": "fd00:9::1/64", "fixed-cidr-v6": "fd00:9::8000/120", "default-gateway-v6": "fd00:9::2",
		"default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1300"}},
		"mtu": 1400, "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}], "runtimes": {"sh": {"path": "/bin/sh"}},
		"default-runtime": "sh", "containerd-namespace": "ns", "storage-driver": "native", "cni-bin-dir": "/cni", "cni-conf-dir": "/lists",
		"init": true, "log-driver": "none", "log-opts": {"k": "v"}, "insecure-registries": ["127.0.0.0/8"],
		"tlsverify": true, "tlscacert": "/ca", "tlscert": "/cert", "tlskey": "/key", "shutdown-timeout": 3,
		"registry-mirrors": ["https://m.example/"], "max-concurrent-downloads": 2, "max-concurrent-uploads": 7, "max-download-attempts": 9,
		"proxies": {"http-proxy": "http://p:1", "https-proxy": "http://p:2", "no-proxy": "a,b"},
		"ip": "127.0.0.1", "icc": false, "ip-masq": false, "allow-direct-routing": true, "ip-forward": false, "ip-forward-no-drop": true, "userland-proxy": false,
		"proxy-snapshotters": {"far": "/far.sock"}, "discard-unpacked-layers": true, "image-gc": {"high": 90, "low": 70, "keep": ["a/*"], "dry-run": true}}`
	byFlag, err := parse(t, "", args...)
	if err != nil {
		t.Fatal(err)
	}
	byFile, err := parse(t, file)
	if err != nil {
		t.Fatal(err)
	}
	byFlag.File, byFile.File = "", ""
	if !reflect.DeepEqual(byFlag, byFile) {
		t.Errorf("flags %+v\nfile  %+v", byFlag, byFile)
	}
	if byFlag.ExecRoot != "/b" || byFlag.LogLevel != slog.LevelDebug || !byFlag.TLS.Verify || byFlag.Hosts[1].Proto != "fd" {
		t.Errorf("got %+v", byFlag)
	}
}

func TestEveryOptionIsReachable(t *testing.T) {
	s := newSettings()
	flags := map[string]bool{}
	for _, o := range s.options {
		if o.flag == "" && o.key != "" {
			continue // has too many parts for a flag, or is an old name
		}
		if o.usage == "" || o.flag == "" || flags[o.flag] {
			t.Errorf("option %q: no usage, no name, or a name used twice", o.flag)
		}
		flags[o.flag] = true
	}
	var out bytes.Buffer
	if _, err := Parse([]string{"--help"}, &out); !errors.Is(err, ErrHelp) {
		t.Errorf("--help returned %v", err)
	}
	for name := range flags {
		if !strings.Contains(out.String(), "--"+name) {
			t.Errorf("the usage does not show --%s", name)
		}
	}
}

func TestImplied(t *testing.T) {
	for _, c := range []struct {
		name, file string
		args       []string
		ok         func(*Config) bool
	}{
		{"socket and pidfile follow exec-root", ``, []string{"--exec-root", "/run/b2"},
			func(c *Config) bool {
				return c.Hosts[0].Addr == "/run/b2/berth.sock" && c.Pidfile == "/run/b2/berthd.pid"
			}},
		{"folders of devices", ``, nil, func(c *Config) bool {
			return slices.Equal(c.CDISpecDirs, []string{"/etc/cdi", "/var/run/cdi"})
		}},
		{"no folders of devices", `{"cdi-spec-dirs":[""]}`, nil, func(c *Config) bool { return c.CDISpecDirs == nil }},
		{"defaults of containers by file", `{"default-shm-size":"128M","default-ulimits":{"nofile":{"Name":"nofile","Soft":64,"Hard":128}},
			"default-ipc-mode":"shareable","default-cgroupns-mode":"private","cgroup-parent":"/x","no-new-privileges":true,"seccomp-profile":"unconfined",
			"dns":["192.0.2.1","2001:db8::1"],"dns-search":["example.org"],"dns-opts":["ndots:2"],"host-gateway-ips":["192.0.2.9"],
			"exec-opts":["native.cgroupdriver=cgroupfs"],"init":true}`, nil,
			func(c *Config) bool {
				return reflect.DeepEqual(c.Containers, Containers{
					Init: true, LogDriver: "json-file", LogOpts: map[string]string{}, ShmSize: 128 << 20, IpcMode: "shareable", CgroupnsMode: "private",
					CgroupParent: "/x", Ulimits: []*units.Ulimit{{Name: "nofile", Soft: 64, Hard: 128}}, NoNewPrivileges: true, Seccomp: "unconfined",
					DNS: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}, DNSSearch: []string{"example.org"},
					DNSOptions: []string{"ndots:2"}, HostGateways: []netip.Addr{netip.MustParseAddr("192.0.2.9")},
				})
			}},
		{"defaults of containers by flag", `{"default-shm-size":1048576}`, []string{"--default-ulimit", "nproc=5", "--dns", "192.0.2.1", "--default-ulimit", "core=0:-1"},
			func(c *Config) bool {
				return c.ShmSize == 1<<20 && len(c.Ulimits) == 2 && c.Ulimits[0].Hard == -1 && c.Ulimits[1].Hard == 5 && len(c.DNS) == 1
			}},
		{"read-only hosts come after the others", `{"read-only-hosts":["unix:///ro"]}`, nil,
			func(c *Config) bool {
				return len(c.Hosts) == 2 && !c.Hosts[0].ReadOnly && c.Hosts[1] == Host{Proto: "unix", Addr: "/ro", ReadOnly: true}
			}},
		{"metrics", ``, []string{"--metrics-addr", "127.0.0.1:9323"}, func(c *Config) bool { return c.MetricsAddr == "127.0.0.1:9323" }},
		{"log level debug is --debug", `{"log-level":"DEBUG"}`, nil, func(c *Config) bool { return c.Debug }},
		{"warn", ``, []string{"-l", "warn"}, func(c *Config) bool { return !c.Debug && c.LogLevel == slog.LevelWarn }},
		{"tlsverify implies tls", ``, []string{"--tlsverify", "-H", "tcp://"},
			func(c *Config) bool { return c.TLS != nil && c.Hosts[0].Addr == "localhost:2376" }},
		{"tcp with consent by flag", ``, []string{"--tls=false", "-H", "tcp://127.0.0.1:1"},
			func(c *Config) bool { return c.TLS == nil && c.Hosts[0].Addr == "127.0.0.1:1" }},
		{"tcp with consent by file", `{"tlsverify":false,"tls":true,"hosts":["tcp://0.0.0.0:1"]}`, nil,
			func(c *Config) bool { return c.TLS != nil && !c.TLS.Verify }},
		{"runtimes of flag and file add up", `{"runtimes":{"a":{"path":"sh"}}}`, []string{"--add-runtime", "b=/bin/sh"},
			func(c *Config) bool { return len(c.Runtimes) == 2 && filepath.IsAbs(c.Runtimes["a"].Path) }},
		{"dockerd's overlay2", `{"storage-driver":"overlay2","live-restore":true}`, nil,
			func(c *Config) bool { return c.StorageDriver == "overlayfs" }},
		{"null is not said", `{"mtu":null,"log-opts":null}`, nil, func(c *Config) bool { return c.MTU == 0 && c.LogOpts != nil }},
		{"byte order mark", "\xef\xbb\xbf{\"mtu\":1300}\n", nil, func(c *Config) bool { return c.MTU == 1300 }},
		{"empty file", " \n", nil, func(c *Config) bool { return c.File != "" }},
		{"containerd with a scheme", ``, []string{"--containerd", "unix:///x.sock"}, func(c *Config) bool { return c.Containerd == "/x.sock" }},
		{"registry with a scheme", `{"insecure-registries":["http://r.lan:5000/","10.1.2.3/8"]}`, nil,
			func(c *Config) bool {
				return reflect.DeepEqual(c.InsecureRegistries, []string{"r.lan:5000", "10.0.0.0/8"})
			}},
		{"no default network", ``, []string{"-b", "none"}, func(c *Config) bool { return c.Bridge == "none" }},
		{"validate", ``, []string{"--validate"}, func(c *Config) bool { return c.Validate }},
		{"version needs nothing else", `{`, []string{"-v"}, func(c *Config) bool { return c.ShowVersion }},
		{"IPv6 pool", ``, []string{"--default-address-pool", "base=fd00::/48,size=64"}, func(c *Config) bool { return c.AddressPools[0].Size == 64 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parse(t, c.file, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			if !c.ok(got) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestOfDockerd takes over what a configuration of dockerd says that is so.
func TestOfDockerd(t *testing.T) {
	c, err := parse(t, `{"iptables":true,"ip6tables":true,"firewall-backend":"nftables","bridge-accept-fwmark":"","userland-proxy-path":"",
		"selinux-enabled":false,"userns-remap":"","storage-opts":[ ],"authorization-plugins":[],"experimental":false,"raw-logs":true,
		"swarm-default-advertise-addr":"","node-generic-resources":[],"network-control-plane-mtu":1500,"containerd-plugins-namespace":"plugins.moby",
		"features":{"containerd-snapshotter":true,"buildkit":true,"cdi":false},"host-gateway-ip":"192.0.2.1","init-path":"/sbin/tini"}`)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.HostGateways) != 1 || c.InitPath != "/sbin/tini" || c.CDISpecDirs != nil {
		t.Errorf("got %+v", c)
	}
	if _, err := parse(t, "", "--iptables", "--ip6tables=1", "--experimental=false", "--raw-logs", "--firewall-backend", "nftables", "--feature", "buildkit", "--feature", "cdi=true"); err != nil {
		t.Error(err)
	}
}

func TestWaiting(t *testing.T) {
	began, err := parse(t, `{"labels":["a=b"],"mtu":1400}`)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]string{
		`{"labels":["a=b"],"mtu":1400,"icc":true}`: nil, // the default
		`{"labels":["a=c"],"mtu":1400,"debug":true,"log-level":"warn","insecure-registries":["x"],"registry-mirrors":["https://x"],"shutdown-timeout":3,
			"max-concurrent-downloads":1,"max-concurrent-uploads":1,"max-download-attempts":1}`: nil,
		`{"default-shm-size":"8m","proxies":{"no-proxy":"x"},"builder":{"gc":{"enabled":false}},"raw-logs":true}`: {"mtu", "default-shm-size", "proxies.no-proxy", "builder"},
	} {
		next, err := parse(t, file)
		if err != nil {
			t.Fatal(err)
		}
		if got := began.Waiting(next); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		file string
		args []string
		want string // part of the message
	}{
		{`{"nope": 1, "also": 2}`, nil, "the following directives don't match any configuration option: also, nope"},
		{`{"mtu": 1400, "labels": ["a=b"]}`, []string{"--mtu", "1300", "--label", "c=d"},
			"the following directives are specified both as a flag and in the configuration file: labels: (from flag: [c=d], from file: [a=b]), mtu: (from flag: 1300, from file: 1400)"},
		{`{"mtu": "1400"}`, nil, "mtu: a whole number expected, but the file has a string"},
		{`{"mtu": 1.5}`, nil, "mtu: a whole number expected"},
		{`{"debug": "yes"}`, nil, "debug: true or false expected"},
		{`{"hosts": "unix://"}`, nil, "hosts: a list of strings expected"},
		{`{"log-opts": {"max-file": 3}}`, nil, "log-opts: an object of strings expected"},
		{`{"runtimes": {"x": {"path": "/bin/sh", "runtimeArgs": []}}}`, nil, `runtimes: unknown field "runtimeArgs"`},
		{`{"runtimes": {"x": {"path": "/bin/sh"}}}`, []string{"--add-runtime", "x=/bin/cat"}, "defined both by flag"},
		{`{"default-address-pools": [{"base": 1}]}`, nil, "default-address-pools"},
		{"{\n\"mtu\": 1400,\n}", nil, "line 3"},
		{`[]`, nil, "an object expected"},
		{`{"iptables": false}`, nil, "iptables: false is not possible: the firewall is always nftables'"},
		{`{"iptables": "true"}`, nil, "iptables: \"true\" is not possible"},
		{`{"storage-opts": ["size=1G"]}`, nil, `storage-opts: ["size=1G"] is not possible`},
		{`{"raw-logs": 3}`, nil, "raw-logs: 3 is not possible: there is true and false"},
		{`{"iptables": true}`, []string{"--iptables"}, "iptables: (from flag: true, from file: true)"},
		{``, []string{"--userns-remap", "default"}, `"default" is not possible`},
		{``, []string{"--storage-opt", "a=b"}, `["a=b"] is not possible`},
		{``, []string{"--network-control-plane-mtu", "9000"}, "9000 is not possible: there is no swarm"},
		{``, []string{"--iptables=x"}, "neither true nor false"},
		{`{"features": {"nope": true}}`, nil, `there is no feature "nope"`},
		{`{"features": {"containerd-snapshotter": false}}`, nil, "containerd-snapshotter cannot be turned off"},
		{`{"features": {"cdi": "yes"}}`, nil, "features: an object of true and false expected"},
		{``, []string{"--feature", "cdi=perhaps"}, "neither true nor false"},
		{`{"host-gateway-ip": "192.0.2.1", "host-gateway-ips": ["192.0.2.2"]}`, nil, "given both"},
		{``, []string{"--init-path", "tini"}, "not an absolute path"},
		{`{} {}`, nil, "line 1"},
		{``, []string{"--nope"}, "unknown flag: --nope"},
		{``, []string{"start"}, "berthd takes no arguments"},
		{``, []string{"--mtu", "x"}, "invalid argument"},
		{``, []string{"--mtu", "-1"}, "invalid default MTU: -1"},
		{``, []string{"-l", "loud"}, "invalid logging level: loud"},
		{``, []string{"--log-format", "xml"}, "invalid log format: xml"},
		{``, []string{"--data-root", "x"}, "not an absolute path"},
		{``, []string{"--data-root", "/x", "--exec-root", "/x/"}, "both /x"},
		{``, []string{"--data-root", "/"}, "must not be /"},
		{``, []string{"-H", "tcp://0.0.0.0:2375"}, "host tcp://0.0.0.0:2375 without --tlsverify gives root"},
		{``, []string{"--read-only-host", "tcp://0.0.0.0:2375"}, "without --tlsverify shows all"},
		{``, []string{"-H", "unix:///a", "--read-only-host", "unix:///a"}, "given twice"},
		{`{"default-ulimits":{"nofile":null}}`, nil, "nofile has no limit of that name"},
		{`{"default-ulimits":{"nofile":{"Name":"nofile","Soft":2,"Hard":1}}}`, nil, "default-ulimits"},
		{`{"default-ulimits":{"nope":{"Name":"nope","Soft":1,"Hard":1}}}`, nil, "default-ulimits"},
		{`{"default-shm-size":"lots"}`, nil, "default-shm-size"},
		{`{"default-shm-size":{}}`, nil, "default-shm-size"},
		{``, []string{"--default-shm-size=-1"}, "default-shm-size"},
		{``, []string{"--default-ipc-mode", "host"}, `IPC mode "host" is not supported`},
		{``, []string{"--default-cgroupns-mode", "x"}, "cgroup namespace mode"},
		{``, []string{"--cgroup-parent", "x"}, "not an absolute path"},
		{``, []string{"--cdi-spec-dir", "x"}, "not an absolute path"},
		{``, []string{"--seccomp-profile", "/nonexistent"}, "opening seccomp profile failed"},
		{``, []string{"--seccomp-profile", "/proc/self/stat"}, "it is not JSON"},
		{``, []string{"--dns", "x"}, `"x" is not an IP address`},
		{``, []string{"--host-gateway-ip", "192.0.2.1", "--host-gateway-ip", "192.0.2.2"}, "at most one"},
		{``, []string{"--exec-opt", "native.cgroupdriver=systemd"}, "exec-opts"},
		{``, []string{"--metrics-addr", "9323"}, "metrics-addr"},
		{``, []string{"--tls", "-H", "tcp://0.0.0.0:2375"}, "without --tlsverify"},
		{``, []string{"--tls=false", "--tlsverify"}, "tls is false"},
		{``, []string{"--tlsverify", "--tlskey", "key.pem"}, "tlskey"},
		{``, []string{"-H", "unix:///a", "-H", "unix:///a"}, "given twice"},
		{``, []string{"-b", "much-too-long-a-name"}, "not the name of a network interface"},
		{``, []string{"--bip", "10.0.0.0/8"}, "the network's own address; the first free one is 10.0.0.1/8"},
		{``, []string{"--bip", "10.0.0.255/24"}, "broadcast"},
		{``, []string{"--bip", "10.0.0.1"}, "prefix length"},
		{``, []string{"--bip", "10.0.0.1/31"}, "no address for containers"},
		{``, []string{"--bip", "fd00::1/64"}, "not IPv4"},
		{``, []string{"--ipv6", "--bip6", "10.0.0.1/24"}, "bip6: 10.0.0.1/24 is not IPv6"},
		{``, []string{"--ipv6", "--bip6", "fd00::/64"}, "bip6: fd00::/64 is the network's own address"},
		{``, []string{"--ipv6", "--bip6", "fe80::1/64"}, "not for the addresses of hosts"},
		{``, []string{"--bip6", "fd00::1/64"}, "bip6: the default network has no IPv6; ipv6 turns it on"},
		{`{"fixed-cidr-v6":"fd00::/64"}`, nil, "fixed-cidr-v6: the default network has no IPv6"},
		{`{"default-gateway-v6":"fd00::9"}`, nil, "default-gateway-v6: the default network has no IPv6"},
		{``, []string{"--fixed-cidr", "10.0.0.1"}, `fixed-cidr: "10.0.0.1" is not a range`},
		{``, []string{"--fixed-cidr", "0.0.0.0/0"}, "not for the addresses of hosts"},
		{``, []string{"--fixed-cidr", "fd00::/64"}, "fixed-cidr: fd00::/64 is not IPv4"},
		{``, []string{"--bip", "10.0.1.1/24", "--fixed-cidr", "10.0.2.0/25"}, "fixed-cidr: 10.0.2.0/25 is not a part of 10.0.1.0/24, the subnet of bip"},
		{``, []string{"--bip", "10.0.1.1/24", "--fixed-cidr", "10.0.0.0/16"}, "is not a part of"},
		{``, []string{"--default-gateway", "x"}, `default-gateway: "x" is not an IP address`},
		{``, []string{"--default-gateway", "fd00::1"}, "default-gateway: fd00::1 is not IPv4"},
		{``, []string{"--bip", "10.0.1.1/24", "--default-gateway", "10.0.2.9"}, "default-gateway: 10.0.2.9 is not in 10.0.1.0/24, the subnet of bip"},
		{``, []string{"--default-gateway", "10.0.2.9", "-b", "none"}, "default-gateway: there is no bridge"},
		{``, []string{"--ipv6", "-b", "none"}, "ipv6: there is no bridge"},
		{`{"ipv6":"yes"}`, nil, "ipv6: true or false expected"},
		{`{"ipv6":true}`, []string{"--ipv6"}, "ipv6: (from flag: true, from file: true)"},
		{`{"fixed-cidr":"10.0.0.0/8"}`, []string{"--fixed-cidr", "10.0.0.0/9"}, "fixed-cidr: (from flag: 10.0.0.0/9, from file: 10.0.0.0/8)"},
		{``, []string{"--default-network-opt", "bridge"}, "not DRIVER=KEY=VALUE"},
		{``, []string{"--default-network-opt", "bridge=mtu"}, "not DRIVER=KEY=VALUE"},
		{`{"default-network-opts":{"overlay":{"a":"b"}}}`, nil, `not made by the driver "overlay"`},
		{`{"default-network-opts":{"bridge":"a=b"}}`, nil, "default-network-opts"},
		{`{"default-network-opts":[]}`, nil, `default-network-opts: an object of {"KEY": "VALUE"} by driver expected`},
		{``, []string{"--ip", "localhost"}, "not an IP address"},
		{``, []string{"--bip", "10.0.0.1/24", "-b", "none"}, "no bridge"},
		{``, []string{"--default-address-pool", "base=10.0.0.0/8"}, "both base and size"},
		{``, []string{"--default-address-pool", "base=10.0.0.1/8,size=24"}, "must be 10.0.0.0/8"},
		{``, []string{"--default-address-pool", "base=10.0.0.0/8,size=31"}, "from 8 to 30, not 31"},
		{``, []string{"--default-address-pool", "colour=blue"}, `unexpected key "colour"`},
		{``, []string{"--add-runtime", "x"}, "NAME=PATH"},
		{``, []string{"--add-runtime", "runc=/bin/sh"}, "runtime name 'runc' is reserved"},
		{``, []string{"--add-runtime", "x=/nonexistent"}, "runtime x: "},
		{``, []string{"--add-runtime", "x=./sh"}, "neither absolute"},
		{``, []string{"--add-runtime", "a/b=/bin/sh"}, "a name consists of"},
		{``, []string{"--default-runtime", "kata"}, "specified default runtime 'kata' does not exist"},
		{``, []string{"--containerd", "run/x.sock"}, "not an absolute path"},
		{``, []string{"--containerd-namespace", "a/b"}, "not a namespace's name"},
		{``, []string{"-s", "../x"}, "not a snapshotter's name"},
		{``, []string{"--label", "x"}, "bad attribute format: x"},
		{``, []string{"--label", "a=1", "--label", "a=2"}, "conflict labels for a=2 and a=1"},
		{``, []string{"--log-opt", "x"}, "not KEY=VALUE"},
		{``, []string{"--log-driver="}, "log-driver"},
		{``, []string{"--insecure-registry", "a/b"}, "neither HOST[:PORT] nor a CIDR"},
		{``, []string{"--live-restore=false"}, "containers always outlive berthd"},
		{``, []string{"--shutdown-timeout", "-2"}, "invalid shutdown timeout: -2"},
	} {
		t.Run(strings.Join(append([]string{c.file}, c.args...), " "), func(t *testing.T) {
			got, err := parse(t, c.file, c.args...)
			if err == nil {
				t.Fatalf("accepted: %+v", got)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got  %q\nwant %q in it", err, c.want)
			}
		})
	}
}

func TestFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "daemon.json")
	if _, err := Parse([]string{"--config-file", missing}, os.Stderr); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("a named file that is missing: %v", err)
	}
	s := newSettings()
	s.file = missing
	if name, err := s.readFile(s.flagSet(os.Stderr)); name != "" || err != nil {
		t.Errorf("a default file that is missing: %q, %v", name, err)
	}
	if err := os.WriteFile(missing, bytes.Repeat([]byte(" "), maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse([]string{"--config-file", missing}, os.Stderr); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a file without end: %v", err)
	}
}

func FuzzDaemonJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"hosts":["tcp://:1"]}`, `{"default-address-pools":[{"base":"10.0.0.0/8","size":24}]}`,
		`{"runtimes":{"a":{"path":"sh"}}}`, `{"bip":"1.2.3.4/30"}`, `{"log-opts":{"a":"b"},"mtu":null}`, "\xef\xbb\xbf", `{"labels":[""]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSettings()
		if err := s.merge(b, s.flagSet(&bytes.Buffer{})); err != nil {
			return
		}
		c, err := s.resolve()
		if err != nil {
			return
		}
		if len(c.Hosts) == 0 || !filepath.IsAbs(c.DataRoot) || !filepath.IsAbs(c.ExecRoot) || c.DataRoot == c.ExecRoot {
			t.Errorf("accepted %q as %+v", b, c)
		}
		for _, h := range c.Hosts {
			if again, err := ParseHost(h.String(), "/s", c.TLS != nil); err != nil || again != h {
				t.Errorf("host %v reads back as %v, %v", h, again, err)
			}
		}
	})
}
