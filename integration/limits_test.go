package integration

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/moby/moby/api/types/container"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// limit gives a container one limit and looks at its cgroup. Of v1 that is the kernel's,
// of the container while it runs; of v2, which not every machine has, what runc would
// write there.
type limit struct {
	flag string // its long name
	args string // of run and of update; PARENT is a cgroup that has time for real-time processes

	v1, is string // a file of cgroup v1, and what it holds then
	v2, of string // the same for v2: it holds a line
	// without is a part of the error or warning that says that the hierarchy does not
	// have this: of v1 if it does not have the file, of v2 if there is none.
	without string

	change, then string // another value by update's flags, or in JSON, and what v1 holds then; "" if it cannot be changed
}

const noSupport = "Your kernel does not support "

var limits = []limit{
	{flag: "blkio-weight", args: "--blkio-weight 300", v1: "blkio/blkio.weight", is: "300", without: noSupport + "Block I/O weight", v2: "io.weight", of: "2930", change: "--blkio-weight 400", then: "400"},
	{flag: "blkio-weight-device", args: "--blkio-weight-device /dev/loop0:300", v1: "blkio/blkio.weight_device", is: "7:0 300", without: noSupport + "Block I/O weight_device", v2: "io.bfq.weight", of: "7:0 300", change: `{"BlkioWeightDevice":[{"Path":"/dev/loop0","Weight":400}]}`, then: "7:0 400"},
	{flag: "cpu-period", args: "--cpu-period 50000", v1: "cpu/cpu.cfs_period_us", is: "50000", v2: "cpu.max", of: "max 50000", change: "--cpu-period 60000", then: "60000"},
	{flag: "cpu-quota", args: "--cpu-quota 20000", v1: "cpu/cpu.cfs_quota_us", is: "20000", v2: "cpu.max", of: "20000 100000", change: "--cpu-quota 30000", then: "30000"},
	{flag: "cpu-rt-period", args: "--cpu-rt-period 900000", v1: "cpu/cpu.rt_period_us", is: "900000", without: "kernel does not support CPU real-time scheduler", change: "--cpu-rt-period 800000", then: "800000"},
	{flag: "cpu-rt-runtime", args: "--cgroup-parent PARENT --cpu-rt-runtime 1000", v1: "cpu/cpu.rt_runtime_us", is: "1000", without: "kernel does not support CPU real-time scheduler", change: "--cpu-rt-runtime 2000", then: "2000"},
	{flag: "cpu-shares", args: "--cpu-shares 512", v1: "cpu/cpu.shares", is: "512", v2: "cpu.weight", of: "59", change: "--cpu-shares 256", then: "256"},
	{flag: "cpus", args: "--cpus 0.5", v1: "cpu/cpu.cfs_quota_us", is: "50000", v2: "cpu.max", of: "50000 100000", change: "--cpus 0.25", then: "25000"},
	{flag: "cpuset-cpus", args: "--cpuset-cpus 0", v1: "cpuset/cpuset.cpus", is: "0", v2: "cpuset.cpus", of: "0", change: "--cpuset-cpus 1", then: "1"},
	{flag: "cpuset-mems", args: "--cpuset-mems 0", v1: "cpuset/cpuset.mems", is: "0", v2: "cpuset.mems", of: "0", change: "--cpuset-mems 0", then: "0"},
	{flag: "device-read-bps", args: "--device-read-bps /dev/loop0:1mb", v1: "blkio/blkio.throttle.read_bps_device", is: "7:0 1048576", v2: "io.max", of: "7:0 rbps=1048576", change: `{"BlkioDeviceReadBps":[{"Path":"/dev/loop0","Rate":2000}]}`, then: "7:0 2000"},
	{flag: "device-read-iops", args: "--device-read-iops /dev/loop0:100", v1: "blkio/blkio.throttle.read_iops_device", is: "7:0 100", v2: "io.max", of: "7:0 riops=100", change: `{"BlkioDeviceReadIOps":[{"Path":"/dev/loop0","Rate":200}]}`, then: "7:0 200"},
	{flag: "device-write-bps", args: "--device-write-bps /dev/loop0:1mb", v1: "blkio/blkio.throttle.write_bps_device", is: "7:0 1048576", v2: "io.max", of: "7:0 wbps=1048576", change: `{"BlkioDeviceWriteBps":[{"Path":"/dev/loop0","Rate":2000}]}`, then: "7:0 2000"},
	{flag: "device-write-iops", args: "--device-write-iops /dev/loop0:100", v1: "blkio/blkio.throttle.write_iops_device", is: "7:0 100", v2: "io.max", of: "7:0 wiops=100", change: `{"BlkioDeviceWriteIOps":[{"Path":"/dev/loop0","Rate":200}]}`, then: "7:0 200"},
	{flag: "memory", args: "--memory 64m", v1: "memory/memory.limit_in_bytes", is: "67108864", v2: "memory.max", of: "67108864", change: "--memory 80m", then: "83886080"},
	{flag: "memory-reservation", args: "--memory-reservation 32m", v1: "memory/memory.soft_limit_in_bytes", is: "33554432", v2: "memory.low", of: "33554432", change: "--memory-reservation 16m", then: "16777216"},
	{flag: "memory-swap", args: "--memory 64m --memory-swap 80m", v1: "memory/memory.memsw.limit_in_bytes", is: "83886080", v2: "memory.swap.max", of: "16777216", change: "--memory-swap 96m", then: "100663296"},
	{flag: "memory-swappiness", args: "--memory-swappiness 10", v1: "memory/memory.swappiness", is: "10", without: noSupport + "memory swappiness"},
	{flag: "oom-kill-disable", args: "--memory 64m --oom-kill-disable", v1: "memory/memory.oom_control", is: "oom_kill_disable 1", without: noSupport + "OomKillDisable"},
	{flag: "pids-limit", args: "--pids-limit 50", v1: "pids/pids.max", is: "50", v2: "pids.max", of: "50", change: "--pids-limit 60", then: "60"},
}

// elsewhere are flags that look like limits and are none here.
var elsewhere = []string{
	"cpu-count", "cpu-percent", // of Windows: TestFlags has them refused
	"kernel-memory", // no kernel has it any more: TestFlags gives it
}

// TestLimits gives each limit to a container that runs, has update change it, and reads
// its cgroup. A flag that docker/cli gets and this list does not fails it.
func TestLimits(t *testing.T) {
	t.Parallel()
	limiting := regexp.MustCompile(`^(blkio|cpu|cpus|cpuset|device-(read|write)|kernel|memory|oom-kill|pids)(-|$)`)
	var of []string
	for _, l := range limits {
		of = append(of, l.flag)
		if changes := slices.Contains(flagsOf(t, "update"), l.flag); changes && l.change == "" {
			t.Errorf("--%s: no case for update", l.flag)
		}
	}
	for _, verb := range []string{"create", "run", "update"} {
		for _, f := range flagsOf(t, verb) {
			if limiting.MatchString(f) && !slices.Contains(of, f) && !slices.Contains(elsewhere, f) {
				t.Errorf("%s --%s: no case", verb, f)
			}
		}
	}
	cgroups.TestMode = true // files that are not there are made: onV2 has a folder for a cgroup
	d := start(t, harness.Options{})
	parent := realtimeParent(t, d)
	for _, l := range limits {
		l.args = strings.Replace(l.args, "PARENT", parent, 1)
		t.Run(l.flag, func(t *testing.T) {
			t.Run("v1", func(t *testing.T) { l.onV1(t, d) })
			t.Run("v2", func(t *testing.T) { l.onV2(t) })
		})
	}
}

// realtimeParent is a cgroup below which real-time processes may run, "" where there is
// none such.
func realtimeParent(t *testing.T, d *harness.Daemon) string {
	t.Helper()
	name := "/" + filepath.Base(d.Root) + "-realtime"
	dir := filepath.Join("/sys/fs/cgroup/cpu", name)
	if _, err := os.Stat("/sys/fs/cgroup/cpu/cpu.rt_runtime_us"); err != nil {
		return ""
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { harness.RemoveCgroups(t, name) })
	if err := os.WriteFile(filepath.Join(dir, "cpu.rt_runtime_us"), []byte("5000"), 0); err != nil {
		t.Fatal(err)
	}
	return name
}

func (l limit) onV1(t *testing.T, d *harness.Daemon) {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		l.v1, l.is, l.change = l.v2, l.of, "" // as the kernel has it
	}
	defer d.Berth("rm", "-f", "limited")
	r := d.Berth(append(append([]string{"run", "-d", "--name", "limited", "--network", "none"}, words(l.args)...), image, "sleep", "100000")...)
	if files, _ := filepath.Glob("/sys/fs/cgroup/" + filepath.Dir(l.v1) + "/*/" + filepath.Base(l.v1)); l.v1 == "" || len(files) == 0 {
		if !strings.Contains(r.Stderr, l.without) {
			t.Errorf("exit code %d, and not %q: %s", r.Code, l.without, r.Stderr)
		}
		return
	}
	r.OK(t)
	file := cgroupFile(t, d, "limited", l.v1)
	holds(t, file, l.is)
	switch {
	case strings.HasPrefix(l.change, "{"):
		resp, err := d.HTTP().Post("http://berth/v1.44/containers/limited/update", "application/json", strings.NewReader(l.change))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("update: %s", resp.Status)
		}
	case l.change != "":
		d.Berth(append(append([]string{"update"}, words(l.change)...), "limited")...).OK(t)
	default:
		return
	}
	holds(t, file, l.then)
}

// cgroupFile is a file of the cgroup that a container's process is in.
func cgroupFile(t *testing.T, d *harness.Daemon, name, file string) string {
	t.Helper()
	of, err := os.ReadFile("/proc/" + d.Berth("inspect", "-f", "{{.State.Pid}}", name).OK(t) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	controller := filepath.Dir(file)
	for line := range strings.Lines(string(of)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if slices.Contains(strings.Split(f[1], ","), controller) || f[1] == "" && controller == "." {
			return filepath.Join("/sys/fs/cgroup", controller, f[2], filepath.Base(file))
		}
	}
	t.Fatalf("%s: no %s in %s", name, controller, of)
	return ""
}

func holds(t *testing.T, file, line string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Split(string(b), "\n"), line) {
		t.Errorf("%s holds %q, and not %q", file, b, line)
	}
}

func (l limit) onV2(t *testing.T) {
	host := spec.Host{
		Cgroup2: true, CgroupNamespaces: true, CPUs: 2, CPUSet: "0-1", MemorySet: "0", MemoryLimit: true, MemoryReservation: true, SwapLimit: true,
		CPUShares: true, CPUCfs: true, Cpuset: true, PidsLimit: true, BlkioWeight: true, BlkioWeightDevice: true, BlkioThrottle: true,
	}
	hc := askedFor(t, l.args)
	warnings, err := spec.Validate(&container.Config{Image: image}, hc, host, spec.Others{})
	if l.v2 == "" {
		if err != nil {
			warnings = append(warnings, err.Error())
		}
		if !strings.Contains(strings.Join(warnings, "\n"), l.without) {
			t.Errorf("%q, and not %q", warnings, l.without)
		}
		return
	}
	if err != nil || len(warnings) > 0 {
		t.Fatalf("refused: %q, %v", warnings, err)
	}
	r, err := spec.Resources(&hc.Resources, host)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"cgroup.controllers": "", "memory.swap.max": "max\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if l.v2 == "io.bfq.weight" { // only this I/O scheduler knows devices
		if err := os.WriteFile(filepath.Join(dir, l.v2), []byte("default 100\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := fs2.NewManager(&cgroups.Cgroup{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Set(ofRunc(r)); err != nil {
		t.Fatal(err)
	}
	holds(t, filepath.Join(dir, l.v2), l.of)
}

// ofRunc is what runc reads from a specification (libcontainer/specconv, which needs C
// to be compiled).
func ofRunc(r *specs.LinuxResources) *cgroups.Resources {
	var out cgroups.Resources
	if m := r.Memory; m != nil {
		out.Memory, out.MemorySwap, out.MemoryReservation = value(m.Limit), value(m.Swap), value(m.Reservation)
	}
	if c := r.CPU; c != nil {
		out.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(value(c.Shares))
		out.CpuQuota, out.CpuPeriod, out.CpusetCpus, out.CpusetMems = value(c.Quota), value(c.Period), c.Cpus, c.Mems
	}
	if r.Pids != nil {
		out.PidsLimit = r.Pids.Limit
	}
	if b := r.BlockIO; b != nil {
		out.BlkioWeight = value(b.Weight)
		for _, d := range b.WeightDevice {
			out.BlkioWeightDevice = append(out.BlkioWeightDevice, cgroups.NewWeightDevice(d.Major, d.Minor, value(d.Weight), 0))
		}
		for _, th := range []struct {
			from []specs.LinuxThrottleDevice
			to   *[]*cgroups.ThrottleDevice
		}{
			{b.ThrottleReadBpsDevice, &out.BlkioThrottleReadBpsDevice}, {b.ThrottleWriteBpsDevice, &out.BlkioThrottleWriteBpsDevice},
			{b.ThrottleReadIOPSDevice, &out.BlkioThrottleReadIOPSDevice}, {b.ThrottleWriteIOPSDevice, &out.BlkioThrottleWriteIOPSDevice},
		} {
			for _, d := range th.from {
				*th.to = append(*th.to, cgroups.NewThrottleDevice(d.Major, d.Minor, d.Rate))
			}
		}
	}
	return &out
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// askedFor is what a client asks for when it gets these flags, before an engine of
// this kernel has seen it.
func askedFor(t *testing.T, args string) (hc *container.HostConfig) {
	t.Helper()
	asked := make(chan *container.HostConfig, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.44")
		w.Header().Set("Ostype", "linux")
		if !strings.HasSuffix(r.URL.Path, "/containers/create") {
			return
		}
		var body struct{ HostConfig *container.HostConfig }
		err := json.NewDecoder(r.Body).Decode(&body)
		asked <- body.HostConfig
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"Id":"made"}`))
		if err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	cmd := exec.Command(harness.BerthCLI(), append(append([]string{"-H", "tcp://" + server.Listener.Addr().String(), "create"}, words(args)...), image)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return <-asked
}
