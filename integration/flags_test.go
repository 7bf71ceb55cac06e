package integration

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/cmd/berth/root"
	"github.com/berth-engine/berth/cmd/berth/whole"
	"github.com/berth-engine/berth/integration/harness"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/pflag"
)

// flagCase gives one flag of run, looks at what inspect tells of it and at what the
// container has of it.
type flagCase struct {
	flag string // its long name
	args string // of run; FILE, DIR and SOCKET are places of the test's

	inspect, want string // a template of inspect, and what it must print
	inside, has   string // a command in the container, and a part of its output
	refused       string // a part of the message, if the flag cannot be here
}

// runFlags has a case for every flag that create and run share.
var runFlags = []flagCase{
	{flag: "add-host", args: "--add-host db:192.0.2.7", inspect: "{{.HostConfig.ExtraHosts}}", want: "[db:192.0.2.7]", inside: "grep db /etc/hosts", has: "192.0.2.7\tdb"},
	{flag: "annotation", args: "--annotation org.example.a=b", inspect: "{{.HostConfig.Annotations}}", want: "map[org.example.a:b]"},
	{flag: "attach", args: "-a stderr", inspect: "{{.Config.AttachStdout}} {{.Config.AttachStderr}}", want: "false true", inside: "echo unheard; echo heard >&2", has: "!unheard"},
	{flag: "blkio-weight", args: "--blkio-weight 300", inspect: "{{.HostConfig.BlkioWeight}}", want: "WEIGHT"},
	{flag: "blkio-weight-device", args: "--blkio-weight-device /dev/loop0:300", inspect: "{{len .HostConfig.BlkioWeightDevice}}", want: "WEIGHTS"},
	{flag: "cap-add", args: "--cap-drop ALL --cap-add NET_ADMIN", inspect: "{{.HostConfig.CapAdd}}", want: "[CAP_NET_ADMIN]", inside: "grep CapEff /proc/self/status", has: "0000000000001000"},
	{flag: "cap-drop", args: "--cap-drop ALL", inspect: "{{.HostConfig.CapDrop}}", want: "[ALL]", inside: "grep CapEff /proc/self/status", has: "0000000000000000"},
	{flag: "cgroup-parent", args: "--cgroup-parent /CGROUP", inspect: "{{.HostConfig.CgroupParent}}", want: "/CGROUP", inside: "cat /proc/self/cgroup", has: "pids:/CGROUP/"},
	{flag: "cgroupns", args: "--cgroupns private", inspect: "{{.HostConfig.CgroupnsMode}}", want: "private", inside: "cat /proc/self/cgroup", has: "pids:/\n"},
	{flag: "cidfile", args: "--cidfile DIR/cid"},
	{flag: "cpu-count", args: "--cpu-count 1", refused: `"--cpu-count" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux`},
	{flag: "cpu-percent", args: "--cpu-percent 1", refused: `"--cpu-percent" is only supported on a Docker daemon running on windows`},
	{flag: "io-maxbandwidth", args: "--io-maxbandwidth 1m", refused: `"--io-maxbandwidth" is only supported on a Docker daemon running on windows`},
	{flag: "io-maxiops", args: "--io-maxiops 1", refused: `"--io-maxiops" is only supported on a Docker daemon running on windows`},
	{flag: "cpu-period", args: "--cpu-period 50000", inspect: "{{.HostConfig.CpuPeriod}}", want: "50000", inside: "cat /sys/fs/cgroup/cpu/cpu.cfs_period_us", has: "50000"},
	{flag: "cpu-quota", args: "--cpu-quota 20000", inspect: "{{.HostConfig.CpuQuota}}", want: "20000", inside: "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us", has: "20000"},
	{flag: "cpu-rt-period", args: "--cpu-rt-period 900000", inspect: "{{.HostConfig.CpuRealtimePeriod}}", want: "900000", inside: "cat /sys/fs/cgroup/cpu/cpu.rt_period_us", has: "900000"},
	{flag: "cpu-rt-runtime", args: "--cpu-rt-runtime 1000", refused: "cpu.rt_runtime_us: invalid argument"}, // nothing of the parent's is given out
	{flag: "cpu-shares", args: "-c 512", inspect: "{{.HostConfig.CpuShares}}", want: "512", inside: "cat /sys/fs/cgroup/cpu/cpu.shares", has: "512"},
	{flag: "cpus", args: "--cpus 0.5", inspect: "{{.HostConfig.NanoCpus}}", want: "500000000", inside: "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us", has: "50000"},
	{flag: "cpuset-cpus", args: "--cpuset-cpus 0", inspect: "{{.HostConfig.CpusetCpus}}", want: "0", inside: "cat /sys/fs/cgroup/cpuset/cpuset.cpus; grep Cpus_allowed_list /proc/self/status", has: "0\nCpus_allowed_list:\t0\n"},
	{flag: "cpuset-mems", args: "--cpuset-mems 0", inspect: "{{.HostConfig.CpusetMems}}", want: "0", inside: "cat /sys/fs/cgroup/cpuset/cpuset.mems", has: "0"},
	{flag: "device", args: "--device /dev/zero:/dev/nothing:r", inspect: "{{.HostConfig.Devices}}", want: "[{/dev/zero /dev/nothing r}]", inside: "head -c 3 /dev/nothing | wc -c", has: "3"},
	{flag: "device-cgroup-rule", args: "--device-cgroup-rule 'c 7:* rmw'", inspect: "{{.HostConfig.DeviceCgroupRules}}", want: "[c 7:* rmw]", inside: "cat /sys/fs/cgroup/devices/devices.list", has: "c 7:* rwm"},
	{flag: "device-read-bps", args: "--device-read-bps /dev/loop0:1mb", inspect: "{{range .HostConfig.BlkioDeviceReadBps}}{{.}}{{end}}", want: "/dev/loop0:1048576", inside: "cat /sys/fs/cgroup/blkio/blkio.throttle.read_bps_device", has: "7:0 1048576"},
	{flag: "device-read-iops", args: "--device-read-iops /dev/loop0:100", inspect: "{{range .HostConfig.BlkioDeviceReadIOps}}{{.}}{{end}}", want: "/dev/loop0:100", inside: "cat /sys/fs/cgroup/blkio/blkio.throttle.read_iops_device", has: "7:0 100"},
	{flag: "device-write-bps", args: "--device-write-bps /dev/loop0:1mb", inspect: "{{range .HostConfig.BlkioDeviceWriteBps}}{{.}}{{end}}", want: "/dev/loop0:1048576", inside: "cat /sys/fs/cgroup/blkio/blkio.throttle.write_bps_device", has: "7:0 1048576"},
	{flag: "device-write-iops", args: "--device-write-iops /dev/loop0:100", inspect: "{{range .HostConfig.BlkioDeviceWriteIOps}}{{.}}{{end}}", want: "/dev/loop0:100", inside: "cat /sys/fs/cgroup/blkio/blkio.throttle.write_iops_device", has: "7:0 100"},
	{flag: "disable-content-trust", args: "--disable-content-trust"},
	{flag: "dns", args: "--dns 192.0.2.53", inspect: "{{.HostConfig.Dns}}", want: "[192.0.2.53]", inside: "cat /etc/resolv.conf", has: "nameserver 192.0.2.53"},
	{flag: "dns-opt", args: "--dns-opt ndots:3", inspect: "{{.HostConfig.DnsOptions}}", want: "[ndots:3]", inside: "cat /etc/resolv.conf", has: "ndots:3"},
	{flag: "dns-option", args: "--dns-option ndots:3", inspect: "{{.HostConfig.DnsOptions}}", want: "[ndots:3]", inside: "cat /etc/resolv.conf", has: "ndots:3"},
	{flag: "dns-search", args: "--dns-search example.org", inspect: "{{.HostConfig.DnsSearch}}", want: "[example.org]", inside: "cat /etc/resolv.conf", has: "search example.org"},
	{flag: "domainname", args: "--domainname example.org", inspect: "{{.Config.Domainname}}", want: "example.org", inside: "cat /proc/sys/kernel/domainname", has: "example.org"},
	{flag: "entrypoint", args: "--entrypoint /bin/echo", inspect: "{{.Config.Entrypoint}} {{.Path}}", want: "[/bin/echo] /bin/echo", inside: "x", has: "sh -c x"},
	{flag: "env", args: "-e A=b", inspect: "{{index .Config.Env 0}}", want: "A=b", inside: "echo $A", has: "b"},
	{flag: "env-file", args: "--env-file FILE", inspect: "{{index .Config.Env 0}}", want: "FROM=file", inside: "echo $FROM", has: "file"},
	{flag: "expose", args: "--expose 81-82/udp", inspect: "{{.Config.ExposedPorts}}", want: "map[81/udp:{} 82/udp:{}]"},
	{flag: "gpus", args: "--gpus all", inspect: "{{(index .HostConfig.DeviceRequests 0).Count}}", want: "-1", inside: "echo $GPUS", has: "all"},
	{flag: "group-add", args: "--group-add 56", inspect: "{{.HostConfig.GroupAdd}}", want: "[56]", inside: "id -G", has: "56"},
	{flag: "health-cmd", args: "--health-cmd /bin/true", inspect: "{{.Config.Healthcheck.Test}}", want: "[CMD-SHELL /bin/true]"},
	{flag: "health-interval", args: "--health-cmd x --health-interval 7s", inspect: "{{.Config.Healthcheck.Interval}}", want: "7s"},
	{flag: "health-retries", args: "--health-cmd x --health-retries 7", inspect: "{{.Config.Healthcheck.Retries}}", want: "7"},
	{flag: "health-start-interval", args: "--health-cmd x --health-start-interval 7s", inspect: "{{.Config.Healthcheck.StartInterval}}", want: "7s"},
	{flag: "health-start-period", args: "--health-cmd x --health-start-period 7s", inspect: "{{.Config.Healthcheck.StartPeriod}}", want: "7s"},
	{flag: "health-timeout", args: "--health-cmd x --health-timeout 7s", inspect: "{{.Config.Healthcheck.Timeout}}", want: "7s"},
	{flag: "help", args: "--help", inside: "x", has: "--cap-add"},
	{flag: "hostname", args: "-h web", inspect: "{{.Config.Hostname}}", want: "web", inside: "hostname", has: "web"},
	{flag: "init", args: "--init", inspect: "{{.HostConfig.Init}}", want: "true", inside: "cat /proc/1/comm", has: "docker-init"},
	{flag: "interactive", args: "-i", inspect: "{{.Config.OpenStdin}} {{.Config.StdinOnce}} {{.Config.AttachStdin}}", want: "true true true", inside: "cat", has: "from stdin"},
	{flag: "ip", args: "--network six --ip 10.N7T.0.77", inspect: "{{.NetworkSettings.Networks.six.IPAMConfig.IPv4Address}}", want: "10.N7T.0.77", inside: "ip -4 -o addr show eth0", has: "10.N7T.0.77/24"},
	{flag: "ip6", args: "--network six --ip6 fd41:N7T::77", inspect: "{{.NetworkSettings.Networks.six.IPAMConfig.IPv6Address}}", want: "fd41:N7T::77", inside: "ip -6 -o addr show eth0", has: "fd41:N7T::77/64"},
	{flag: "ipc", args: "--ipc host", inspect: "{{.HostConfig.IpcMode}}", want: "host", inside: "readlink /proc/self/ns/ipc", has: "NS:ipc"},
	{flag: "isolation", args: "--isolation default", inspect: "{{.HostConfig.Isolation}}", want: "default"},
	{flag: "kernel-memory", args: "--kernel-memory 10m"},
	{flag: "label", args: "-l a=b", inspect: "{{.Config.Labels.a}}", want: "b"},
	{flag: "label-file", args: "--label-file FILE", inspect: "{{.Config.Labels.FROM}}", want: "file"},
	{flag: "link", args: "--link donor:d", inspect: "{{.HostConfig.Links}}", want: "[/donor:/NAME/d]", inside: "grep -c donor /etc/hosts", has: "1"},
	{flag: "link-local-ip", args: "--network six --link-local-ip 169.254.7.7", inspect: "{{.NetworkSettings.Networks.six.IPAMConfig.LinkLocalIPs}}", want: "[169.254.7.7]", inside: "ip -4 -o addr show eth0", has: "169.254.7.7"},
	{flag: "log-driver", args: "--log-driver local", inspect: "{{.HostConfig.LogConfig.Type}}", want: "local"},
	{flag: "log-opt", args: "--log-opt max-size=1m", inspect: "{{.HostConfig.LogConfig.Config}}", want: "map[max-size:1m]"},
	{flag: "mac-address", args: "--mac-address 02:42:12:34:56:78", inspect: "{{.NetworkSettings.Networks.bridge.MacAddress}}", want: "02:42:12:34:56:78", inside: "cat /sys/class/net/eth0/address", has: "02:42:12:34:56:78"},
	{flag: "memory", args: "-m 64m", inspect: "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}", want: "67108864 134217728", inside: "cat /sys/fs/cgroup/memory/memory.limit_in_bytes", has: "67108864"},
	{flag: "memory-reservation", args: "--memory-reservation 32m", inspect: "{{.HostConfig.MemoryReservation}}", want: "33554432", inside: "cat /sys/fs/cgroup/memory/memory.soft_limit_in_bytes", has: "33554432"},
	{flag: "memory-swap", args: "-m 64m --memory-swap 80m", inspect: "{{.HostConfig.MemorySwap}}", want: "83886080", inside: "cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", has: "83886080"},
	{flag: "memory-swappiness", args: "--memory-swappiness 10", inspect: "{{.HostConfig.MemorySwappiness}}", want: "10", inside: "cat /sys/fs/cgroup/memory/memory.swappiness", has: "10"},
	{flag: "mount", args: "--mount type=tmpfs,target=/here,tmpfs-size=1m", inspect: "{{(index .HostConfig.Mounts 0).Target}}", want: "/here", inside: "df -k /here | tail -1", has: "1024"},
	{flag: "name", args: "", inspect: "{{.Name}}", want: "/NAME"},
	{flag: "net", args: "--net none", inspect: "{{.HostConfig.NetworkMode}}", want: "none", inside: "ls /sys/class/net", has: "lo"},
	{flag: "net-alias", args: "--network six --net-alias other", inspect: "{{.NetworkSettings.Networks.six.Aliases}}", want: "[other]", inside: "ping -c 1 -w 5 other", has: "1 packets received"},
	{flag: "network", args: "--network six", inspect: "{{.HostConfig.NetworkMode}}", want: "six", inside: "ip -4 -o addr show eth0", has: "10.N7T.0."},
	{flag: "network-alias", args: "--network six --network-alias other", inspect: "{{.NetworkSettings.Networks.six.Aliases}}", want: "[other]", inside: "ping -c 1 -w 5 other", has: "1 packets received"},
	{flag: "no-healthcheck", args: "--no-healthcheck", inspect: "{{.Config.Healthcheck.Test}}", want: "[NONE]"},
	{flag: "oom-kill-disable", args: "-m 64m --oom-kill-disable", inspect: "{{.HostConfig.OomKillDisable}}", want: "true", inside: "cat /sys/fs/cgroup/memory/memory.oom_control", has: "oom_kill_disable 1"},
	{flag: "oom-score-adj", args: "--oom-score-adj 500", inspect: "{{.HostConfig.OomScoreAdj}}", want: "500", inside: "cat /proc/self/oom_score_adj", has: "500"},
	{flag: "pid", args: "--pid host", inspect: "{{.HostConfig.PidMode}}", want: "host", inside: "readlink /proc/self/ns/pid", has: "NS:pid"},
	{flag: "pids-limit", args: "--pids-limit 50", inspect: "{{.HostConfig.PidsLimit}}", want: "50", inside: "cat /sys/fs/cgroup/pids/pids.max", has: "50"},
	{flag: "platform", args: "--platform linux/amd64", inspect: "{{.ImageManifestDescriptor.Platform.Architecture}}", want: "amd64"},
	{flag: "privileged", args: "--privileged", inspect: "{{.HostConfig.Privileged}}", want: "true", inside: "ls /dev/loop-control", has: "/dev/loop-control"},
	{flag: "publish", args: "-p 127.0.0.1::80", inspect: "{{.HostConfig.PortBindings}}", want: "map[80/tcp:[{127.0.0.1 }]]"},
	{flag: "publish-all", args: "-P --expose 81", inspect: "{{.HostConfig.PublishAllPorts}}", want: "true"},
	{flag: "pull", args: "--pull never"},
	{flag: "quiet", args: "-q"},
	{flag: "read-only", args: "--read-only", inspect: "{{.HostConfig.ReadonlyRootfs}}", want: "true", inside: "touch /x || echo refused", has: "refused"},
	{flag: "restart", args: "--restart on-failure:3", inspect: "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}", want: "on-failure 3"},
	{flag: "rm", args: "--rm"},
	{flag: "runtime", args: "--runtime other", inspect: "{{.HostConfig.Runtime}}", want: "other"},
	{flag: "security-opt", args: "--security-opt no-new-privileges", inspect: "{{.HostConfig.SecurityOpt}}", want: "[no-new-privileges]", inside: "grep NoNewPrivs /proc/self/status", has: "1"},
	{flag: "shm-size", args: "--shm-size 8m", inspect: "{{.HostConfig.ShmSize}}", want: "8388608", inside: "df -k /dev/shm | tail -1", has: "8192"},
	{flag: "stop-signal", args: "--stop-signal QUIT", inspect: "{{.Config.StopSignal}}", want: "QUIT"},
	{flag: "stop-timeout", args: "--stop-timeout 7", inspect: "{{.Config.StopTimeout}}", want: "7"},
	{flag: "storage-opt", args: "--storage-opt size=1G", refused: "--storage-opt is not supported"},
	{flag: "sysctl", args: "--sysctl net.ipv4.ip_unprivileged_port_start=1024", inspect: "{{.HostConfig.Sysctls}}", want: "map[net.ipv4.ip_unprivileged_port_start:1024]", inside: "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", has: "1024"},
	{flag: "tmpfs", args: "--tmpfs /here:size=1m", inspect: "{{.HostConfig.Tmpfs}}", want: "map[/here:size=1m]", inside: "df -k /here | tail -1", has: "1024"},
	{flag: "tty", args: "-t", inspect: "{{.Config.Tty}}", want: "true", inside: "tty", has: "/dev/pts/0"},
	{flag: "ulimit", args: "--ulimit nofile=100:200", inspect: "{{.HostConfig.Ulimits}}", want: "[nofile=100:200]", inside: "ulimit -Sn; ulimit -Hn", has: "100\n200"},
	{flag: "use-api-socket", args: "--use-api-socket", refused: "bind source path does not exist: /var/run/docker.sock"}, // the client's constant; no such daemon here
	{flag: "user", args: "-u 12:34", inspect: "{{.Config.User}}", want: "12:34", inside: "id", has: "uid=12 gid=34"},
	{flag: "userns", args: "--userns host", inspect: "{{.HostConfig.UsernsMode}}", want: "host", inside: "readlink /proc/self/ns/user", has: "NS:user"},
	{flag: "uts", args: "--uts host", inspect: "{{.HostConfig.UTSMode}}", want: "host", inside: "readlink /proc/self/ns/uts", has: "NS:uts"},
	{flag: "volume", args: "-v DIR:/here:ro", inspect: "{{.HostConfig.Binds}}", want: "[DIR:/here:ro]", inside: "touch /here/x || echo refused", has: "refused"},
	{flag: "volume-driver", args: "--volume-driver local -v /data", inspect: "{{.HostConfig.VolumeDriver}} {{(index .Mounts 0).Driver}}", want: "local local"},
	{flag: "volumes-from", args: "--volumes-from donor", inspect: "{{.HostConfig.VolumesFrom}} {{(index .Mounts 0).Destination}}", want: "[donor] /given", inside: "ls -d /given", has: "/given"},
	{flag: "workdir", args: "-w /a/b", inspect: "{{.Config.WorkingDir}}", want: "/a/b", inside: "pwd", has: "/a/b"},
}

// onlyRun are flags of run that create does not have, and the test that shows each.
var onlyRun = map[string]func(*testing.T){
	"detach":      TestScript,
	"detach-keys": TestTerminal,
	"sig-proxy":   TestSignals,
}

// TestFlags gives each flag that run and create have, and looks at what came of it. A
// flag that docker/cli gets and this list does not fails it.
func TestFlags(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, c := range runFlags {
		listed = append(listed, c.flag)
	}
	sameFlags(t, "create", listed)
	sameFlags(t, "run", append(slices.Collect(maps.Keys(onlyRun)), listed...))
	f := newFlagged(t)
	for _, c := range runFlags {
		t.Run(c.flag, func(t *testing.T) { f.check(t, c) })
	}
}

// flagged is a daemon with what the cases need.
type flagged struct {
	d      *harness.Daemon
	places *strings.Replacer
	dir    string
}

func newFlagged(t *testing.T) *flagged {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"gpu.json": `{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [{"name": "all", "containerEdits": {"env": ["GPUS=all"]}}]}`,
		"file":     "FROM=file\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := start(t, harness.Options{Flags: []string{"--cdi-spec-dir", dir, "--add-runtime", "other=" + filepath.Join(harness.Bin(), "runc")}})
	_, net, _ := strings.Cut(d.Subnet, ".")
	_, net, _ = strings.Cut(net, ".") // the test's own number
	d.Berth("network", "create", "--ipv6", "--subnet", "10.159."+net+".0/24", "--subnet", "fd41:"+net+"::/64", "six").OK(t)
	d.Berth("run", "-d", "--name", "donor", "-v", "/given", image, "sleep", "100000").OK(t)
	weight, weights := "0", "0" // discarded, with a warning
	if _, err := os.Stat("/sys/fs/cgroup/blkio/blkio.weight"); err == nil {
		weight = "300"
	}
	if _, err := os.Stat("/sys/fs/cgroup/blkio/blkio.weight_device"); err == nil {
		weights = "1"
	}
	places := []string{
		"FILE", filepath.Join(dir, "file"), "DIR", dir, "NAME", "flagged", "WEIGHTS", weights, "WEIGHT", weight,
		"10.N7T.0.", "10.159." + net + ".", "N7T", net, "CGROUP", d.CgroupParent(),
	}
	for _, ns := range []string{"ipc", "pid", "user", "uts"} {
		places = append(places, "NS:"+ns, link(t, ns))
	}
	return &flagged{d: d, places: strings.NewReplacer(places...), dir: dir}
}

func (f *flagged) check(t *testing.T, c flagCase) {
	args := append([]string{"run", "--name", "flagged"}, words(c.args)...)
	for i, a := range args {
		args[i] = f.places.Replace(a)
	}
	inside := c.inside
	if inside == "" {
		inside = "true"
	}
	r := f.d.Client(harness.BerthCLI(), strings.NewReader("from stdin"), append(args, image, "sh", "-c", inside)...)
	if c.refused != "" {
		if r.Code == 0 || !strings.Contains(r.Stderr, c.refused) {
			t.Errorf("exit code %d: %s%s", r.Code, r.Stdout, r.Stderr)
		}
		f.d.Berth("rm", "-f", "flagged") // of what failed at its start
		return
	}
	out := r.OK(t) + "\n"
	if unwanted, not := strings.CutPrefix(c.has, "!"); not {
		if strings.Contains(out, unwanted) {
			t.Errorf("printed %q", out)
		}
	} else if !strings.Contains(out, f.places.Replace(c.has)) {
		t.Errorf("printed %q, and not %q", out, f.places.Replace(c.has))
	}
	if c.inspect != "" {
		if got := f.d.Berth("inspect", "-f", c.inspect, "flagged").OK(t); got != f.places.Replace(c.want) {
			t.Errorf("inspect shows %q, and not %q", got, f.places.Replace(c.want))
		}
	}
	switch c.flag {
	case "rm":
		f.d.Berth("inspect", "flagged").Fails(t, 1, "no such object: flagged")
	case "cidfile":
		id, err := os.ReadFile(filepath.Join(f.dir, "cid"))
		if err != nil || f.d.Berth("inspect", "-f", "{{.Id}}", "flagged").OK(t) != string(id) {
			t.Errorf("cidfile %q: %v", id, err)
		}
	}
	f.d.Berth("rm", "-f", "-v", "flagged") // there is none after --help
}

// flagsOf names the flags of a command of docker/cli, which is ours.
func flagsOf(t *testing.T, names ...string) (flags []string) {
	t.Helper()
	visitFlags(t, func(f *pflag.Flag) { flags = append(flags, f.Name) }, names...)
	return flags
}

func visitFlags(t *testing.T, visit func(*pflag.Flag), names ...string) {
	t.Helper()
	dockerCLI, err := command.NewDockerCli()
	if err != nil {
		t.Fatal(err)
	}
	tree, _ := whole.New(dockerCLI, root.Berth)
	cmd, _, err := tree.Find(names)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Flags().VisitAll(visit)
}

// sameFlags fails unless those that are listed are the flags of a command.
func sameFlags(t *testing.T, verb string, listed []string) {
	t.Helper()
	has := flagsOf(t, strings.Fields(verb)...)
	for _, flag := range has {
		if !slices.Contains(listed, flag) {
			t.Errorf("%s --%s has no case", verb, flag)
		}
	}
	for _, flag := range listed {
		if !slices.Contains(has, flag) {
			t.Errorf("there is no %s --%s", verb, flag)
		}
	}
}
