package spec

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// validate does all that create has of this package.
func validate(cfg *container.Config, hc *container.HostConfig, host Host) ([]string, error) {
	warnings, err := Validate(cfg, hc, host, Others{})
	if err == nil {
		err = ValidateSecurity(hc, host)
	}
	return warnings, err
}

func ptr[T any](v T) *T { return &v }

func TestValidateRefuses(t *testing.T) {
	type cfg = container.Config
	type host = container.HostConfig
	res := func(r container.Resources) host { return host{Resources: r} }
	for _, c := range []struct {
		name string
		cfg  cfg
		hc   host
		want string
	}{
		{"relative working directory", cfg{WorkingDir: "tmp"}, host{}, "the working directory 'tmp' is invalid, it needs to be an absolute path"},
		{"stop signal", cfg{StopSignal: "SIGNOPE"}, host{}, "invalid signal: SIGNOPE"},
		{"environment", cfg{Env: []string{"=x"}}, host{}, "invalid environment variable: =x"},
		{"null in command", cfg{Cmd: []string{"a\x00b"}}, host{}, `invalid argument: "a\x00b" contains a null character`},
		{"hostname with a line", cfg{Hostname: "a\n1.2.3.4 evil"}, host{}, `invalid hostname format: "a\n1.2.3.4 evil"`},
		{"hostname too long", cfg{Hostname: strings.Repeat("h", 65)}, host{}, `hostname "` + strings.Repeat("h", 65) + `" is too long (maximum 64 bytes)`},
		{"health interval", cfg{Healthcheck: &container.HealthConfig{Interval: time.Microsecond}}, host{}, "Interval in Healthcheck cannot be less than 1ms"},
		{"health retries", cfg{Healthcheck: &container.HealthConfig{Retries: -1}}, host{}, "Retries in Healthcheck cannot be negative"},
		{"auto-remove", cfg{}, host{AutoRemove: true, RestartPolicy: container.RestartPolicy{Name: "always"}}, "can't create 'AutoRemove' container with restart policy"},
		{"restart policy", cfg{}, host{RestartPolicy: container.RestartPolicy{Name: "often"}}, "invalid restart policy: unknown policy 'often'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"},
		{"retry count", cfg{}, host{RestartPolicy: container.RestartPolicy{Name: "always", MaximumRetryCount: 2}}, "invalid restart policy: maximum retry count can only be used with 'on-failure'"},
		{"extra host", cfg{}, host{ExtraHosts: []string{"db"}}, `bad format for add-host: "db"`},
		{"extra host's address", cfg{}, host{ExtraHosts: []string{"db:1.2.3"}}, `invalid IP address in add-host: "1.2.3"`},
		{"isolation", cfg{}, host{Isolation: "hyperv"}, "invalid isolation (hyperv): linux only supports 'default'"},
		{"annotation", cfg{}, host{Annotations: map[string]string{"": "x"}}, "invalid Annotations: the empty string is not permitted as an annotation key"},
		{"shm size", cfg{}, host{ShmSize: -1}, "SHM size can not be less than 0"},
		{"ipc", cfg{}, host{IpcMode: "mine"}, "invalid IPC mode: mine"},
		{"pid", cfg{}, host{PidMode: "container:"}, "invalid PID mode: container:"},
		{"uts", cfg{}, host{UTSMode: "x"}, "invalid UTS mode: x"},
		{"userns", cfg{}, host{UsernsMode: "x"}, "invalid user namespace mode: x"},
		{"cgroupns", cfg{}, host{CgroupnsMode: "x"}, "invalid cgroup namespace mode: x"},
		{"oom score", cfg{}, host{OomScoreAdj: 1001}, "Invalid value 1001, range for oom score adj is [-1000, 1000]"},
		{"uts and hostname", cfg{Hostname: "x"}, host{UTSMode: "host"}, "conflicting options: hostname and the UTS mode"},
		{"links", cfg{}, host{NetworkMode: "host", Links: []string{"a"}}, "conflicting options: host type networking can't be used with links. This would result in undefined behavior"},
		{"joined network, hostname", cfg{Hostname: "x"}, host{NetworkMode: "container:a"}, "conflicting options: hostname and the network mode"},
		{"joined network, ports", cfg{}, host{NetworkMode: "container:a", PublishAllPorts: true}, "conflicting options: port publishing and the container type network mode"},
		{"joined network, exposed", cfg{ExposedPorts: network.PortSet{network.MustParsePort("80"): {}}}, host{NetworkMode: "container:a"}, "conflicting options: port exposing and the container type network mode"},
		{"joined to nobody", cfg{}, host{NetworkMode: "container:"}, "invalid network mode: invalid container format container:<name|id>"},
		{"capability", cfg{}, host{CapAdd: []string{"fly"}}, `invalid CapAdd: unknown capability: "CAP_FLY"`},
		{"dropped capability", cfg{}, host{CapDrop: []string{"fly"}}, `invalid CapDrop: unknown capability: "CAP_FLY"`},
		{"security", cfg{}, host{SecurityOpt: []string{"magic=1"}}, `invalid --security-opt 2: "magic=1"`},
		{"device rule", cfg{}, res(container.Resources{DeviceCgroupRules: []string{"c 1 rwm"}}), "invalid device cgroup rule format: 'c 1 rwm'"},
		{"device mode", cfg{}, res(container.Resources{Devices: []container.DeviceMapping{{PathOnHost: "/dev/null", CgroupPermissions: "rx"}}}), "invalid device mode: rx"},
		{"sysctl", cfg{}, host{Sysctls: map[string]string{"kernel.panic": "1"}}, `sysctl "kernel.panic" is not in a separate kernel namespace`},
		{"sysctl of the host's network", cfg{}, host{NetworkMode: "host", Sysctls: map[string]string{"net.core.somaxconn": "1"}}, `sysctl "net.core.somaxconn" not allowed in host network namespace`},
		{"ulimit name", cfg{}, res(container.Resources{Ulimits: []*units.Ulimit{{Name: "as"}}}), "invalid ulimit name as"},
		{"ulimit order", cfg{}, res(container.Resources{Ulimits: []*units.Ulimit{{Name: "nofile", Soft: 2, Hard: 1}}}), "ulimit soft limit must be less than or equal to hard limit: nofile: 2 > 1"},
		{"memory", cfg{}, res(container.Resources{Memory: 1 << 20}), "Minimum memory limit allowed is 6MB"},
		{"negative memory", cfg{}, res(container.Resources{Memory: -5}), "Minimum memory limit allowed is 6MB"},
		{"huge memory", cfg{}, res(container.Resources{Memory: math.MaxInt64}), "Invalid memory limit: it is larger than what the kernel can count"},
		{"swap below memory", cfg{}, res(container.Resources{Memory: 64 << 20, MemorySwap: 32 << 20}), "Minimum memoryswap limit should be larger than memory limit, see usage"},
		{"swap alone", cfg{}, res(container.Resources{MemorySwap: 32 << 20}), "You should always set the Memory limit when using Memoryswap limit, see usage"},
		{"swap below unlimited", cfg{}, res(container.Resources{MemorySwap: -2}), "Invalid memoryswap limit: -2, use -1 for unlimited swap"},
		{"reservation", cfg{}, res(container.Resources{MemoryReservation: 1}), "Minimum memory reservation allowed is 6MB"},
		{"reservation above limit", cfg{}, res(container.Resources{Memory: 8 << 20, MemoryReservation: 9 << 20}), "Minimum memory limit can not be less than memory reservation limit, see usage"},
		{"swappiness", cfg{}, res(container.Resources{MemorySwappiness: ptr(int64(101))}), "Invalid value: 101, valid memory swappiness range is 0-100"},
		{"cpus", cfg{}, res(container.Resources{NanoCPUs: 5e9}), "range of CPUs is from 0.01 to 4.00, as there are only 4 CPUs available"},
		{"cpus and period", cfg{}, res(container.Resources{NanoCPUs: 1e9, CPUPeriod: 1000}), "Conflicting options: Nano CPUs and CPU Period cannot both be set"},
		{"cpus and quota", cfg{}, res(container.Resources{NanoCPUs: 1e9, CPUQuota: 1000}), "Conflicting options: Nano CPUs and CPU Quota cannot both be set"},
		{"period", cfg{}, res(container.Resources{CPUPeriod: 10}), "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"},
		{"quota", cfg{}, res(container.Resources{CPUQuota: 10}), "CPU cfs quota can not be less than 1ms (i.e. 1000)"},
		{"shares", cfg{}, res(container.Resources{CPUShares: -1}), "invalid CPU shares (-1): value must be a positive integer"},
		{"realtime", cfg{}, res(container.Resources{CPURealtimePeriod: 1000, CPURealtimeRuntime: 2000}), "cpu real-time runtime cannot be higher than cpu real-time period"},
		{"cpuset", cfg{}, res(container.Resources{CpusetCpus: "2-9"}), "Requested CPUs are not available - requested 2-9, available: 0-3"},
		{"cpuset format", cfg{}, res(container.Resources{CpusetCpus: "a-b"}), `Invalid value a-b for cpuset cpus: invalid format: a-b`},
		{"cpuset bound", cfg{}, res(container.Resources{CpusetCpus: "0-2000000000"}), `Invalid value 0-2000000000 for cpuset cpus: value of out range, maximum is 8192`},
		{"mems", cfg{}, res(container.Resources{CpusetMems: "1"}), "Requested memory nodes are not available - requested 1, available: 0"},
		{"blkio", cfg{}, res(container.Resources{BlkioWeight: 5}), "Range of blkio weight is from 10 to 1000"},
		{"qos", cfg{}, res(container.Resources{IOMaximumIOps: 5}), "invalid option: QoS maximum IOPs configuration is not supported on linux"},
		{"bandwidth", cfg{}, res(container.Resources{IOMaximumBandwidth: 5}), "invalid option: QoS maximum bandwidth configuration is not supported on linux"},
		{"security without a value", cfg{}, host{SecurityOpt: []string{"magic"}}, `invalid --security-opt 1: "magic"`},

		// The first of several is Docker's first.
		{"network before UTS", cfg{Hostname: "x"}, host{NetworkMode: "container:a", UTSMode: "host"}, "conflicting options: hostname and the network mode"},
		{"network before process", cfg{Hostname: "x", WorkingDir: "tmp"}, host{UTSMode: "host"}, "conflicting options: hostname and the UTS mode"},
		{"platform before process", cfg{WorkingDir: "tmp"}, host{Isolation: "hyperv"}, "invalid isolation (hyperv): linux only supports 'default'"},
		{"process before removal", cfg{WorkingDir: "tmp"}, host{AutoRemove: true, RestartPolicy: container.RestartPolicy{Name: "always"}}, "the working directory 'tmp' is invalid, it needs to be an absolute path"},
		{"policy before capability", cfg{}, host{RestartPolicy: container.RestartPolicy{Name: "often"}, CapAdd: []string{"fly"}}, "invalid restart policy: unknown policy 'often'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"},
		{"capability before limit", cfg{}, host{CapAdd: []string{"fly"}, Resources: container.Resources{Memory: 1}}, `invalid CapAdd: unknown capability: "CAP_FLY"`},
		{"health's interval before its retries", cfg{Healthcheck: &container.HealthConfig{Retries: -1, Interval: 1}}, host{}, "Interval in Healthcheck cannot be less than 1ms"},
		{"health's retries before its start period", cfg{Healthcheck: &container.HealthConfig{Retries: -1, StartPeriod: 1}}, host{}, "Retries in Healthcheck cannot be negative"},
		{"removal before hostname", cfg{Hostname: strings.Repeat("h", 65)}, host{AutoRemove: true, RestartPolicy: container.RestartPolicy{Name: "always"}}, "can't create 'AutoRemove' container with restart policy"},
		{"process IDs before shared memory", cfg{}, host{ShmSize: -1, PidMode: "mine"}, "invalid PID mode: mine"},
		{"shared memory before hostname's namespace", cfg{}, host{ShmSize: -1, UTSMode: "mine"}, "SHM size can not be less than 0"},
		{"joined to nobody, by the word alone", cfg{}, host{NetworkMode: "container"}, "invalid network mode: invalid container format container:<name|id>"},
		{"limit before namespace", cfg{}, host{IpcMode: "mine", Resources: container.Resources{Memory: 1}}, "Minimum memory limit allowed is 6MB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := validate(&c.cfg, &c.hc, testHost())
			if !errdefs.IsInvalidArgument(err) || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestValidateOrder has everything wrong, and what is first put right until nothing is.
func TestValidateOrder(t *testing.T) {
	mistake := func(s string) func() error { return func() error { return errors.New(s) } }
	cfg := &container.Config{Hostname: strings.Repeat("h", 65), WorkingDir: "tmp"}
	hc := &container.HostConfig{
		UTSMode: "host", AutoRemove: true, RestartPolicy: container.RestartPolicy{Name: "always"}, ExtraHosts: []string{"db"}, CapAdd: []string{"fly"},
		Isolation: "hyperv", Annotations: map[string]string{"": "x"}, IpcMode: "mine", CgroupnsMode: "mine", Resources: container.Resources{Memory: 1},
	}
	others := Others{mistake("mounts"), mistake("ports"), mistake("runtime"), mistake("tmpfs")}
	for _, step := range []struct {
		want string
		mend func()
	}{
		{"hostname and the UTS mode", func() { hc.UTSMode = "mine" }},
		{"invalid isolation", func() { hc.Isolation = "" }},
		{"working directory", func() { cfg.WorkingDir = "" }},
		{"AutoRemove", func() { hc.AutoRemove, hc.RestartPolicy.Name = false, "often" }},
		{"mounts", func() { others.Mounts = nil }},
		{"add-host", func() { hc.ExtraHosts = nil }},
		{"ports", func() { others.Ports = nil }},
		{"restart policy", func() { hc.RestartPolicy.Name = "" }},
		{"CapAdd", func() { hc.CapAdd = nil }},
		{"Annotations", func() { hc.Annotations = nil }},
		{"too long", func() { cfg.Hostname = "" }},
		{"memory", func() { hc.Memory, hc.MemorySwap = 0, 0 }},
		{"IPC mode", func() { hc.IpcMode = "" }},
		{"UTS mode", func() { hc.UTSMode = "" }},
		{"runtime", func() { others.Runtime = nil }},
		{"tmpfs", func() { others.Tmpfs = nil }},
		{"cgroup namespace mode", func() { hc.CgroupnsMode = "" }},
	} {
		if _, err := Validate(cfg, hc, testHost(), others); err == nil || !strings.Contains(err.Error(), step.want) {
			t.Errorf("got %v, want that of %s", err, step.want)
		}
		step.mend()
	}
	if _, err := Validate(cfg, hc, testHost(), others); err != nil {
		t.Errorf("nothing is wrong: %v", err)
	}
}

// A daemon without CAP_SYS_RESOURCE cannot do what root can; the error says so.
func TestValidateWithoutSysResource(t *testing.T) {
	host := testHost()
	host.Capabilities = slices.DeleteFunc(slices.Clone(host.Capabilities), func(c string) bool { return c == "CAP_SYS_RESOURCE" })
	for want, hc := range map[string]container.HostConfig{
		`invalid CapAdd: capability not supported by your kernel or not available in the current environment: "CAP_SYS_RESOURCE"`:  {CapAdd: []string{"SYS_RESOURCE"}},
		"cannot set ulimit nofile to 1048577: the daemon's own hard limit is 1048576 and it has no CAP_SYS_RESOURCE to raise it":   {Resources: container.Resources{Ulimits: []*units.Ulimit{{Name: "nofile", Hard: 1<<20 + 1}}}},
		"cannot set ulimit nofile to unlimited: the daemon's own hard limit is 1048576 and it has no CAP_SYS_RESOURCE to raise it": {Resources: container.Resources{Ulimits: []*units.Ulimit{{Name: "nofile", Soft: 1, Hard: -1}}}},
		"cannot set oom score adj to -5: the daemon's own is 0 and it has no CAP_SYS_RESOURCE to lower it":                         {OomScoreAdj: -5},
	} {
		if _, err := validate(&container.Config{}, &hc, host); !errdefs.IsInvalidArgument(err) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if _, err := validate(&container.Config{}, &hc, testHost()); err != nil {
			t.Errorf("with it: %v", err)
		}
	}
	ok := container.HostConfig{CapDrop: []string{"SYS_RESOURCE"}, OomScoreAdj: 5, Resources: container.Resources{Ulimits: []*units.Ulimit{{Name: "nofile", Soft: 5, Hard: 1 << 20}}}}
	if _, err := validate(&container.Config{}, &ok, host); err != nil {
		t.Error(err)
	}
}

func TestValidateDefaults(t *testing.T) {
	cfg, hc := &container.Config{WorkingDir: "/a//b/.."}, &container.HostConfig{Resources: container.Resources{Memory: 64 << 20, CPUShares: 1 << 20, MemorySwappiness: ptr(int64(-1))}}
	warnings, err := validate(cfg, hc, testHost())
	if err != nil || len(warnings) != 0 {
		t.Fatal(warnings, err)
	}
	if hc.NetworkMode != "bridge" || hc.RestartPolicy.Name != "no" || hc.ShmSize != 64<<20 || hc.IpcMode != "private" || hc.CgroupnsMode != "host" ||
		hc.MemorySwap != 128<<20 || hc.CPUShares != 262144 || hc.MemorySwappiness != nil || hc.OomKillDisable == nil || *hc.OomKillDisable ||
		len(hc.MaskedPaths) == 0 || len(hc.ReadonlyPaths) == 0 || cfg.WorkingDir != "/a" {
		t.Errorf("%+v %+v", hc, cfg)
	}
	hc = &container.HostConfig{Privileged: true}
	host := testHost()
	host.Cgroup2 = true
	if _, err := validate(cfg, hc, host); err != nil {
		t.Fatal(err)
	}
	if hc.CgroupnsMode != "private" || hc.MaskedPaths != nil || !slices.Equal(hc.SecurityOpt, []string{"label=disable"}) {
		t.Errorf("%+v", hc)
	}
	hc = &container.HostConfig{MaskedPaths: []string{}}
	if _, err := validate(cfg, hc, host); err != nil || hc.MaskedPaths == nil || len(hc.MaskedPaths) != 0 {
		t.Errorf("an empty list asks for none: %v, %v", hc.MaskedPaths, err)
	}
}

func TestValidateWarns(t *testing.T) {
	poor := Host{CPUs: 1, CPUSet: "0", MemorySet: "0"}
	hc := &container.HostConfig{NetworkMode: "host", CgroupnsMode: "private", PortBindings: network.PortMap{network.MustParsePort("80"): nil}, Resources: container.Resources{
		Memory: 64 << 20, MemoryReservation: 32 << 20, MemorySwappiness: ptr(int64(5)), OomKillDisable: ptr(true), PidsLimit: ptr(int64(5)), CPUShares: 5,
		CPUPeriod: 5000, CpusetCpus: "0", BlkioWeight: 100, CPUPercent: 5,
	}}
	warnings, err := validate(&container.Config{}, hc, poor)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{
		"Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
		"Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
		"Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
		"Your kernel does not support OomKillDisable. OomKillDisable discarded.",
		"Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
		"Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
		"Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
		"Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
		"Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
		"linux does not support CPU percent. Percent discarded.",
		"Published ports are discarded when using host network mode",
		"Your kernel does not support cgroup namespaces.  Cgroup namespace setting discarded.",
	} {
		if !slices.Contains(warnings, w) {
			t.Errorf("no warning %q", w)
		}
	}
	r, err := Resources(&hc.Resources, poor)
	if err != nil || r.Memory != nil || r.CPU != nil || r.BlockIO != nil || r.Pids != nil {
		t.Errorf("limits were left in: %+v, %v", r, err)
	}
}

func FuzzSet(f *testing.F) {
	f.Add("0-3,7")
	f.Add("1-")
	f.Fuzz(func(t *testing.T, s string) {
		if set, err := parseSet(s); err == nil && len(set) > 8192 {
			t.Errorf("%d CPUs", len(set))
		}
	})
}
