package stats

import (
	"bytes"
	"math"
	"path/filepath"
	"strings"

	ctypes "github.com/moby/moby/api/types/container"
)

// The fields of memory.stat that Docker passes on.
var (
	memory1 = fields1(`cache rss rss_huge mapped_file dirty writeback pgpgin pgpgout pgfault pgmajfault
		inactive_anon active_anon inactive_file active_file unevictable`)
	memory2 = strings.Fields(`anon file kernel_stack slab sock shmem file_mapped file_dirty file_writeback anon_thp
		inactive_anon active_anon inactive_file active_file unevictable slab_reclaimable slab_unreclaimable
		pgfault pgmajfault workingset_refault workingset_activate workingset_nodereclaim pgrefill pgscan pgsteal
		pgactivate pgdeactivate pglazyfree pglazyfreed thp_fault_alloc thp_collapse_alloc`)
)

// fields1 adds those that count the groups below, too.
func fields1(names string) []string {
	own := strings.Fields(names)
	out := append(own[:len(own):len(own)], "hierarchical_memory_limit", "hierarchical_memsw_limit")
	for _, n := range own {
		out = append(out, "total_"+n)
	}
	return out
}

// v1 reads the hierarchies of cgroup v1
// (Documentation/admin-guide/cgroup-v1).
func (r *reader) v1(s *ctypes.StatsResponse, group string) error {
	of := func(controller string) *counters { return &counters{dir: filepath.Join(r.cgroup, controller, group)} }
	cpu, acct, memory, pids, blkio := of("cpu"), of("cpuacct"), of("memory"), of("pids"), of("blkio")

	usage := acct.pairs("cpuacct.stat")
	s.CPUStats.CPUUsage = ctypes.CPUUsage{
		TotalUsage:        acct.number("cpuacct.usage"),
		UsageInKernelmode: usage["system"] * tick,
		UsageInUsermode:   usage["user"] * tick,
	}
	for _, n := range bytes.Fields(acct.text("cpuacct.usage_percpu")) {
		s.CPUStats.CPUUsage.PercpuUsage = append(s.CPUStats.CPUUsage.PercpuUsage, number(n))
	}
	throttled := cpu.pairs("cpu.stat")
	s.CPUStats.ThrottlingData = ctypes.ThrottlingData{
		Periods: throttled["nr_periods"], ThrottledPeriods: throttled["nr_throttled"], ThrottledTime: throttled["throttled_time"],
	}
	s.MemoryStats = ctypes.MemoryStats{
		Usage:    memory.number("memory.usage_in_bytes"),
		MaxUsage: memory.number("memory.max_usage_in_bytes"),
		Failcnt:  memory.number("memory.failcnt"),
		Limit:    memory.number("memory.limit_in_bytes"),
		Stats:    pick(memory.pairs("memory.stat"), memory1),
	}
	s.PidsStats = ctypes.PidsStats{Current: pids.number("pids.current"), Limit: pids.number("pids.max")}
	s.BlkioStats = blkio1(blkio)
	return first(cpu, acct, memory, pids, blkio)
}

// blkio1: an I/O scheduler that divides between groups counts by itself, and
// what it did not count the throttling layer has.
func blkio1(c *counters) ctypes.BlkioStats {
	b := ctypes.BlkioStats{
		IoServiceBytesRecursive: entries(c.text("blkio.bfq.io_service_bytes_recursive")),
		IoServicedRecursive:     entries(c.text("blkio.bfq.io_serviced_recursive")),
		IoQueuedRecursive:       entries(c.text("blkio.bfq.io_queued_recursive")),
		IoServiceTimeRecursive:  entries(c.text("blkio.bfq.io_service_time_recursive")),
		IoWaitTimeRecursive:     entries(c.text("blkio.bfq.io_wait_time_recursive")),
		IoMergedRecursive:       entries(c.text("blkio.bfq.io_merged_recursive")),
		IoTimeRecursive:         entries(c.text("blkio.bfq.time_recursive")),
		SectorsRecursive:        entries(c.text("blkio.bfq.sectors_recursive")),
	}
	if len(b.IoServiceBytesRecursive)+len(b.IoServicedRecursive) == 0 {
		b.IoServiceBytesRecursive = entries(c.text("blkio.throttle.io_service_bytes_recursive"))
		b.IoServicedRecursive = entries(c.text("blkio.throttle.io_serviced_recursive"))
	}
	return b
}

// device reads the beginning of a line, "8:0", and gives what follows it, one field
// at least.
func device(line []byte) (e ctypes.BlkioStatEntry, rest [][]byte, ok bool) {
	f := bytes.Fields(line)
	if len(f) < 2 {
		return e, nil, false
	}
	major, minor, ok := bytes.Cut(f[0], []byte(":"))
	return ctypes.BlkioStatEntry{Major: number(major), Minor: number(minor)}, f[1:], ok
}

// entries reads lines such as "8:0 Read 4096". The last line, the total of all
// devices, is not of them.
func entries(b []byte) []ctypes.BlkioStatEntry {
	out := []ctypes.BlkioStatEntry{}
	for line := range bytes.Lines(b) {
		e, f, ok := device(line)
		if !ok {
			continue
		}
		e.Value = number(f[len(f)-1])
		if len(f) > 1 {
			e.Op = string(f[0])
		}
		out = append(out, e)
	}
	return out
}

// v2 reads the unified hierarchy (Documentation/admin-guide/cgroup-v2.rst).
func (r *reader) v2(s *ctypes.StatsResponse, group string) error {
	c := &counters{dir: filepath.Join(r.cgroup, group)}
	cpu := c.pairs("cpu.stat")
	const usec = 1000
	s.CPUStats.CPUUsage = ctypes.CPUUsage{
		TotalUsage: cpu["usage_usec"] * usec, UsageInKernelmode: cpu["system_usec"] * usec, UsageInUsermode: cpu["user_usec"] * usec,
	}
	s.CPUStats.ThrottlingData = ctypes.ThrottlingData{
		Periods: cpu["nr_periods"], ThrottledPeriods: cpu["nr_throttled"], ThrottledTime: cpu["throttled_usec"] * usec,
	}
	s.MemoryStats = ctypes.MemoryStats{
		Usage:   c.number("memory.current"),
		Limit:   c.number("memory.max"),
		Failcnt: c.pairs("memory.events")["oom"],
		Stats:   pick(c.pairs("memory.stat"), memory2),
	}
	if s.MemoryStats.Limit == 0 { // "max"
		s.MemoryStats.Limit = math.MaxUint64
	}
	s.PidsStats = ctypes.PidsStats{Current: c.number("pids.current"), Limit: c.number("pids.max")}
	s.BlkioStats.IoServiceBytesRecursive = blkio2(c.text("io.stat"))
	return first(c)
}

// blkio2 reads lines such as "8:0 rbytes=4096 wbytes=0 rios=1".
func blkio2(b []byte) (out []ctypes.BlkioStatEntry) {
	for line := range bytes.Lines(b) {
		e, f, ok := device(line)
		if !ok {
			continue
		}
		read, write := e, e
		read.Op, write.Op = "read", "write"
		for _, pair := range f {
			switch key, value, _ := bytes.Cut(pair, []byte("=")); string(key) {
			case "rbytes":
				read.Value = number(value)
			case "wbytes":
				write.Value = number(value)
			}
		}
		out = append(out, read, write)
	}
	return out
}

func first(all ...*counters) error {
	for _, c := range all {
		if c.err != nil {
			return c.err
		}
	}
	return nil
}
