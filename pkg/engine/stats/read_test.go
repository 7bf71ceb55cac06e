package stats

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/unit"
	ctypes "github.com/moby/moby/api/types/container"
)

// machine writes files as a kernel would show them.
func machine(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	procStat = "cpu  1 2 3 4 5 6 7 800 900 0\ncpu0 1 1 1 1 1 1 1 0 0 0\ncpu1 0 1 2 3 4 5 6 0 0 0\nintr 5 cpu\n"
	netDev   = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     900       9    0    0    0     0          0         0      900       9    0    0    0     0       0          0
  eth0:    1000      10    1    2    0     0          0         0     2000      20    3    4    0     0       0          0
 vethX:    7000       7    0    0    0     0          0         0     7000       7    0    0    0     0       0          0
`
	network = `"networks":{"eth0":{"rx_bytes":1000,"rx_packets":10,"rx_errors":1,"rx_dropped":2,"tx_bytes":2000,"tx_packets":20,"tx_errors":3,"tx_dropped":4}}`
)

func sample(t *testing.T, unified bool, groups map[string]string) ctypes.StatsResponse {
	t.Helper()
	r := &reader{
		proc:   machine(t, map[string]string{"stat": procStat, "7/net/dev": netDev}),
		cgroup: machine(t, groups), unified: unified, memory: 1 << 30,
	}
	s, err := r.sample(&unit.View{
		Record: &container.Record{ID: "abc", Name: "web", Config: &ctypes.Config{}, HostConfig: &ctypes.HostConfig{}},
		Status: container.Status{State: container.Running, Pid: 7, Sandbox: container.Sandbox{Key: "/run/netns/abc"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.CPUStats.SystemUsage != 28*tick || s.CPUStats.OnlineCPUs != 2 {
		t.Errorf("system: %d, %d CPUs", s.CPUStats.SystemUsage, s.CPUStats.OnlineCPUs)
	}
	equal(t, map[string]any{"networks": s.Networks}, "{"+network+"}")
	return s
}

// equal compares the JSON of a value.
func equal(t *testing.T, v any, want string) {
	t.Helper()
	got, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCgroup1(t *testing.T) {
	s := sample(t, false, map[string]string{
		"cpuacct/berth/abc/cpuacct.usage":                           "5000000000\n",
		"cpuacct/berth/abc/cpuacct.usage_percpu":                    "3000000000 2000000000\n",
		"cpuacct/berth/abc/cpuacct.stat":                            "user 300\nsystem 200\n",
		"cpu/berth/abc/cpu.stat":                                    "nr_periods 9\nnr_throttled 8\nthrottled_time 7\n",
		"memory/berth/abc/memory.usage_in_bytes":                    "4096\n",
		"memory/berth/abc/memory.max_usage_in_bytes":                "8192\n",
		"memory/berth/abc/memory.failcnt":                           "3\n",
		"memory/berth/abc/memory.limit_in_bytes":                    "9223372036854771712\n",
		"memory/berth/abc/memory.stat":                              "cache 1\ntotal_inactive_file 2\nhierarchical_memory_limit 3\nswap 4\n",
		"pids/berth/abc/pids.current":                               "2\n",
		"pids/berth/abc/pids.max":                                   "max\n",
		"blkio/berth/abc/blkio.bfq.io_service_bytes_recursive":      "Total 0\n",
		"blkio/berth/abc/blkio.throttle.io_service_bytes_recursive": "8:16 Read 4096\n8:16 Write 512\nTotal 4608\n",
	})
	equal(t, s.CPUStats.CPUUsage, `{"total_usage":5000000000,"percpu_usage":[3000000000,2000000000],"usage_in_kernelmode":2000000000,"usage_in_usermode":3000000000}`)
	equal(t, s.CPUStats.ThrottlingData, `{"periods":9,"throttled_periods":8,"throttled_time":7}`)
	if n := len(s.MemoryStats.Stats); n != 32 || s.MemoryStats.Stats["total_inactive_file"] != 2 {
		t.Errorf("%d fields: %v", n, s.MemoryStats.Stats)
	}
	s.MemoryStats.Stats = nil
	equal(t, s.MemoryStats, `{"usage":4096,"max_usage":8192,"failcnt":3,"limit":1073741824}`)
	equal(t, s.PidsStats, `{"current":2}`)
	equal(t, s.BlkioStats, `{"io_service_bytes_recursive":[{"major":8,"minor":16,"op":"Read","value":4096},{"major":8,"minor":16,"op":"Write","value":512}],`+
		`"io_serviced_recursive":[],"io_queue_recursive":[],"io_service_time_recursive":[],"io_wait_time_recursive":[],"io_merged_recursive":[],"io_time_recursive":[],"sectors_recursive":[]}`)
}

func TestCgroup2(t *testing.T) {
	s := sample(t, true, map[string]string{
		"berth/abc/cpu.stat":       "usage_usec 5000000\nuser_usec 3000000\nsystem_usec 2000000\nnr_periods 9\nnr_throttled 8\nthrottled_usec 7\n",
		"berth/abc/memory.current": "4096\n",
		"berth/abc/memory.max":     "max\n",
		"berth/abc/memory.events":  "low 0\noom 3\noom_kill 2\n",
		"berth/abc/memory.stat":    "anon 1\ninactive_file 2\nunknown 3\n",
		"berth/abc/pids.current":   "2\n",
		"berth/abc/pids.max":       "100\n",
		"berth/abc/io.stat":        "8:16 rbytes=4096 wbytes=512 rios=1 wios=1 dbytes=0 dios=0\n7:0 \n",
	})
	equal(t, s.CPUStats.CPUUsage, `{"total_usage":5000000000,"usage_in_kernelmode":2000000000,"usage_in_usermode":3000000000}`)
	equal(t, s.CPUStats.ThrottlingData, `{"periods":9,"throttled_periods":8,"throttled_time":7000}`)
	if n := len(s.MemoryStats.Stats); n != len(memory2) || s.MemoryStats.Stats["inactive_file"] != 2 {
		t.Errorf("%d fields: %v", n, s.MemoryStats.Stats)
	}
	s.MemoryStats.Stats = nil
	equal(t, s.MemoryStats, `{"usage":4096,"failcnt":3,"limit":1073741824}`)
	equal(t, s.PidsStats, `{"current":2,"limit":100}`)
	equal(t, s.BlkioStats.IoServiceBytesRecursive, `[{"major":8,"minor":16,"op":"read","value":4096},{"major":8,"minor":16,"op":"write","value":512}]`)
	if s.BlkioStats.IoServicedRecursive != nil {
		t.Error("cgroup v2 does not count operations")
	}
}

// What a container can put into these files are names of interfaces.
func FuzzRead(f *testing.F) {
	f.Add([]byte(netDev))
	f.Add([]byte(procStat))
	f.Add([]byte("8:16 Read 4096\n8:0 rbytes=1\neth1:\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		interfaces(b)
		systemCPU(b)
		pairs(b)
		if len(blkio2(b))%2 != 0 {
			t.Error("reads and writes come in pairs")
		}
		entries(b)
	})
}
