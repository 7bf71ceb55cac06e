package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	ctypes "github.com/moby/moby/api/types/container"
)

// TestPrune removes what does not run, and by filters less.
func TestPrune(t *testing.T) {
	t.Parallel()
	eachClient(t, func(t *testing.T, d *harness.Daemon, run runner) {
		run("run", "-d", "--name", "runs", image, "sleep", "1000").OK(t)
		run("run", "--name", "wrote", "--label", "keep", "-v", "/data", image, "sh", "-c", "head -c 1000000 /dev/zero >/file").OK(t)
		run("create", "--name", "young", image).OK(t)
		run("container", "prune", "-f", "--filter", "until=1h").OK(t)
		run("container", "prune", "-f", "--filter", "label=other").OK(t)
		if got := run("ps", "-aq").OK(t); len(strings.Fields(got)) != 3 {
			t.Errorf("left: %s", got)
		}
		id := run("inspect", "-f", "{{.Id}}", "young").OK(t)
		if got := run("container", "prune", "-f", "--filter", "label!=keep").OK(t); !strings.HasPrefix(got, "Deleted Containers:\n"+id+"\n") {
			t.Errorf("pruned: %s", got)
		}
		if got := run("container", "prune", "-f").OK(t); !strings.Contains(got, "Total reclaimed space: 1.0") || !strings.HasSuffix(got, "MB") {
			t.Errorf("pruned: %s", got)
		}
		if got := run("ps", "-a", "--format", "{{.Names}}").OK(t); got != "runs" {
			t.Errorf("left: %s", got)
		}
		if got := run("volume", "ls", "-q").OK(t); len(strings.Fields(got)) != 1 {
			t.Errorf("volumes: %q", got)
		}
		if got := run("container", "prune", "-f").OK(t); got != "Total reclaimed space: 0B" {
			t.Errorf("pruned: %s", got)
		}
		run("container", "prune", "-f", "--filter", "status=exited").Fails(t, 1, "invalid filter 'status'")
	})
}

// TestTop lists processes as ps does.
func TestTop(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "box", image, "sh", "-c", "sleep 1001 & sleep 1002").OK(t)
	for name, client := range clients(t) {
		t.Run(name, func(t *testing.T) {
			run := func(args ...string) harness.Result { return d.Client(client, nil, args...) }
			await(t, "both run", func() bool {
				got := run("top", "box").OK(t)
				// Before its exec a child still has the shell's command line.
				return strings.Contains(got, "sleep 1001") && strings.Contains(got, "sleep 1002") && !strings.Contains(got, "sh -c")
			})
			lines := strings.Split(run("top", "box").OK(t), "\n")
			if titles := strings.Fields(lines[0]); len(lines) != 3 || !slices.Equal(titles, strings.Fields("UID PID PPID C STIME TTY TIME CMD")) {
				t.Errorf("%q", lines)
			}
			lines = strings.Split(run("top", "box", "-o", "pid,comm").OK(t), "\n")
			if titles := strings.Fields(lines[0]); len(lines) != 3 || !slices.Equal(titles, []string{"PID", "COMMAND"}) {
				t.Errorf("%q", lines)
			}
			run("top", "box", "-o", "comm").Fails(t, 1, "couldn't find PID field in ps output")
			run("top", "box", "--nonsense").Fails(t, 1, "error: unknown gnu long option")
			run("top", "box", "-eo", "ppid=PID").Fails(t, 1, `specifying "ppid=PID" is not allowed`)
		})
	}
	d.Berth("kill", "box").OK(t)
	d.Berth("wait", "box").OK(t)
	d.Berth("top", "box").Fails(t, 1, "is not running")
	d.Berth("top", "nothing").Fails(t, 1, "No such container: nothing")
}

// TestStats measures a container that does something.
func TestStats(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "busy", "--memory", "64m", "--pids-limit", "50", image, "sh", "-c", "while :; do :; done").OK(t)
	for name, client := range clients(t) {
		t.Run(name, func(t *testing.T) {
			run := func(args ...string) harness.Result { return d.Client(client, nil, args...) }
			await(t, "it is busy", func() bool {
				f := strings.Split(run("stats", "--no-stream", "--format", "{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}", "busy").OK(t), " ")
				return len(f) == 6 && f[0] == "busy" && f[1] != "0.00%" && strings.HasSuffix(f[1], "%") && f[4] == "64MiB" && f[5] == "1"
			})
		})
	}
	one := stats(t, d, "busy", "stream=0&one-shot=1")
	if one.Name != "/busy" || one.OSType != "linux" || one.Read.IsZero() || !one.PreRead.IsZero() || one.PidsStats.Limit != 50 {
		t.Errorf("one: %+v", one)
	}
	if n := one.Networks["eth0"]; len(one.Networks) != 1 || n.TxPackets == 0 && n.RxPackets == 0 {
		t.Errorf("networks: %+v", one.Networks)
	}
	two := stats(t, d, "busy", "stream=0")
	if two.PreCPUStats.CPUUsage.TotalUsage == 0 || two.CPUStats.CPUUsage.TotalUsage <= two.PreCPUStats.CPUUsage.TotalUsage || two.CPUStats.SystemUsage <= two.PreCPUStats.SystemUsage {
		t.Errorf("two: %+v", two)
	}
	d.Berth("run", "-d", "--name", "host", "--network", "host", image, "sleep", "1000").OK(t)
	if s := stats(t, d, "host", "stream=0&one-shot=1"); s.Networks != nil {
		t.Errorf("the host's networks: %+v", s.Networks)
	}
	d.Berth("kill", "busy").OK(t)
	d.Berth("wait", "busy").OK(t)
	if s := stats(t, d, "busy", "stream=0"); s.Name != "/busy" || !s.Read.IsZero() || s.CPUStats.CPUUsage.TotalUsage != 0 {
		t.Errorf("stopped: %+v", s)
	}
	d.Berth("stats", "--no-stream", "nothing").Fails(t, 1, "No such container: nothing")
}

// TestStatsStream follows a container until it is removed.
func TestStatsStream(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "box", image, "sleep", "1000").OK(t)
	resp, err := d.HTTP().Get("http://berth/containers/box/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := json.NewDecoder(resp.Body)
	var first, second ctypes.StatsResponse
	for _, s := range []*ctypes.StatsResponse{&first, &second} {
		if err := in.Decode(s); err != nil {
			t.Fatal(err)
		}
	}
	if !first.PreRead.IsZero() || !second.PreRead.Equal(first.Read) || second.PreCPUStats.SystemUsage != first.CPUStats.SystemUsage {
		t.Errorf("%+v\n%+v", first, second)
	}
	d.Berth("rm", "-f", "box").OK(t)
	for in.Decode(&second) == nil { // those under way, then the end
	}
}

func stats(t *testing.T, d *harness.Daemon, name, query string) (s ctypes.StatsResponse) {
	t.Helper()
	resp, err := d.HTTP().Get("http://berth/containers/" + name + "/stats?" + query)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestUpdate changes limits and looks at them from inside, and after a restart.
func TestUpdate(t *testing.T) {
	t.Parallel()
	eachClient(t, func(t *testing.T, d *harness.Daemon, run runner) {
		run("run", "-d", "--name", "box", "--memory", "64m", image, "sleep", "1000").OK(t)
		look := func() string {
			return run("exec", "box", "sh", "-c", `cd /sys/fs/cgroup
				cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max 2>/dev/null || { cat memory.max; cut -d' ' -f1 cpu.max; cat pids.max; }`).OK(t)
		}
		if got := run("update", "--memory", "100m", "--cpus", "0.5", "--pids-limit", "77", "--restart", "always", "box").OK(t); got != "box" {
			t.Errorf("update says %q", got)
		}
		want := "104857600\n50000\n77"
		if got := look(); got != want {
			t.Errorf("live: %q", got)
		}
		run("restart", "-t", "0", "box").OK(t)
		if got := look(); got != want {
			t.Errorf("after a restart: %q", got)
		}
		run("update", "--pids-limit", "-1", "box").OK(t)
		if got := look(); got != "104857600\n50000\nmax" {
			t.Errorf("without a limit: %q", got)
		}
		if got := run("inspect", "-f", "{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}", "box").OK(t); got != "always 104857600 500000000" {
			t.Errorf("inspect: %q", got)
		}
		run("update", "--memory", "1g", "box").Fails(t, 1, "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time")
		run("update", "--cpu-quota", "5000", "box").Fails(t, 1, "CPU Quota cannot be updated as NanoCPUs has already been set")
		run("update", "--memory", "1m", "box").Fails(t, 1, "Minimum memory limit allowed is 6MB")
		run("update", "--cpus", "1000", "box").Fails(t, 1, "range of CPUs is from 0.01 to")
		run("update", "--memory", "1g", "nothing").Fails(t, 1, "No such container: nothing")
		// What the kernel refuses takes the rest back with it: 10 bytes are less than the memory.
		run("update", "--cpus", "0.25", "--pids-limit", "5", "--memory-swap", "10", "box").Fails(t, 1, "Cannot update container ")
		if got := look(); got != "104857600\n50000\nmax" {
			t.Errorf("after updates that were refused: %q", got)
		}
		if got := run("inspect", "-f", "{{.HostConfig.NanoCpus}} {{.HostConfig.MemorySwap}} {{json .HostConfig.PidsLimit}}", "box").OK(t); got != "500000000 134217728 0" {
			t.Errorf("inspect after updates that were refused: %q", got)
		}
		run("run", "-d", "--rm", "--name", "gone", image, "sleep", "1000").OK(t)
		run("update", "--restart", "always", "gone").Fails(t, 1, "Restart policy cannot be updated because AutoRemove is enabled for the container")
	})
}

// TestUpdateRestartPolicy makes a container that has ended stay, and one that
// ends come back.
func TestUpdateRestartPolicy(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	dir := t.TempDir()
	d.Berth("run", "-d", "--name", "box", "-v", dir+":/dir", image, "sh", "-c", "until [ -e /dir/end ]; do sleep 0.01; done; rm /dir/end; exit 3").OK(t)
	end := func() {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "end"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.Berth("update", "--restart", "always", "box").OK(t)
	end()
	await(t, "it is started again", func() bool {
		return d.Berth("inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "box").OK(t) == "1 running"
	})
	d.Berth("update", "--restart", "no", "box").OK(t)
	end()
	if got := d.Berth("wait", "box").OK(t); got != "3" {
		t.Errorf("its exit is %s", got)
	}
	if got := d.Berth("inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "box").OK(t); got != "1 exited" {
		t.Errorf("it is %s", got)
	}
}
