package stats

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/engine/unit"
	ctypes "github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"
)

// maxFile bounds what is read of one file of the kernel; a container can make
// interfaces and groups without end.
const maxFile = 1 << 20

// tick is a clock tick of user space in nanoseconds: USER_HZ is 100 on every
// architecture that Go runs Linux on (time(7)).
const tick = uint64(time.Second / 100)

// reader reads one machine's files.
type reader struct {
	proc, cgroup string // /proc and /sys/fs/cgroup
	unified      bool
	memory       uint64 // of the machine, in bytes
}

func newReader(unified bool) *reader {
	r := &reader{proc: "/proc", cgroup: "/sys/fs/cgroup", unified: unified}
	if info, err := r.text("meminfo"); err == nil {
		r.memory = 1024 * pairs(info)["MemTotal:"]
	}
	return r
}

// sample measures a running container. A controller that is not mounted counts
// nothing.
func (r *reader) sample(v *unit.View) (ctypes.StatsResponse, error) {
	s := empty(v)
	group := spec.CgroupsPath(v.Record.HostConfig, "", v.Record.ID)
	measure := r.v1
	if r.unified {
		measure = r.v2
	}
	s.Read = time.Now().UTC()
	if err := measure(&s, group); err != nil {
		return s, fmt.Errorf("container %s: %w", v.Record.ID, err)
	}
	if r.memory > 0 {
		s.MemoryStats.Limit = min(s.MemoryStats.Limit, r.memory)
	}
	// Close to the container's usage: clients divide one by the other.
	stat, err := r.text("stat")
	if err != nil {
		return s, err
	}
	s.CPUStats.SystemUsage, s.CPUStats.OnlineCPUs = systemCPU(stat)
	if v.Status.Sandbox.Key != "" && !v.Record.Config.NetworkDisabled {
		if stat, err = r.text(strconv.Itoa(v.Status.Pid) + "/net/dev"); err != nil {
			return s, err
		}
		s.Networks = interfaces(stat)
	}
	return s, nil
}

// text reads a file of /proc.
func (r *reader) text(name string) ([]byte, error) { return read(filepath.Join(r.proc, name)) }

// read does without os.File, which would make each file known to the runtime's
// poller: a third of what a sample costs.
func read(path string) ([]byte, error) {
	fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 4<<10)
	for len(b) < maxFile {
		b = slices.Grow(b, 1)
		n, err := retry(func() (int, error) { return unix.Read(fd, b[len(b):min(cap(b), maxFile)]) })
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		}
		if n == 0 {
			break
		}
		b = b[:len(b)+n]
	}
	return b, nil
}

func retry(f func() (int, error)) (n int, err error) {
	for {
		if n, err = f(); !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// counters reads files of one cgroup and keeps the first error but that a file
// does not exist: kernels differ in what they count.
type counters struct {
	dir string
	err error
}

func (c *counters) text(name string) []byte {
	b, err := read(filepath.Join(c.dir, name))
	if err != nil && c.err == nil && !errors.Is(err, fs.ErrNotExist) {
		c.err = err
	}
	return b
}

// number is 0 for "max", as Docker has no limit.
func (c *counters) number(name string) uint64 { return number(bytes.TrimSpace(c.text(name))) }

func (c *counters) pairs(name string) map[string]uint64 { return pairs(c.text(name)) }

func number(b []byte) uint64 {
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// pairs reads lines of a name and a number.
func pairs(b []byte) map[string]uint64 {
	out := map[string]uint64{}
	for line := range bytes.Lines(b) {
		if f := bytes.Fields(line); len(f) >= 2 {
			out[string(f[0])] = number(f[1])
		}
	}
	return out
}

// pick gives the fields that Docker knows, 0 for those that the kernel does not.
func pick(all map[string]uint64, names []string) map[string]uint64 {
	out := make(map[string]uint64, len(names))
	for _, n := range names {
		out[n] = all[n]
	}
	return out
}

// systemCPU reads /proc/stat (proc_stat(5)): the time that all CPUs together
// spent, in nanoseconds and without what guests stole, and how many are online.
func systemCPU(stat []byte) (total uint64, online uint32) {
	for line := range bytes.Lines(stat) {
		f := bytes.Fields(line)
		if len(f) == 0 || !bytes.HasPrefix(f[0], []byte("cpu")) {
			break // interrupts follow, which are many
		}
		if len(f[0]) > len("cpu") {
			online++
			continue
		}
		for _, ticks := range f[1:min(len(f), 8)] {
			total += number(ticks) * tick
		}
	}
	return total, online
}

// interfaces reads /proc/PID/net/dev (proc_pid_net(5)). Counted are those that
// we made, which are called eth0 and so on; nil if there are none.
func interfaces(dev []byte) map[string]ctypes.NetworkStats {
	var out map[string]ctypes.NetworkStats
	lines := bufio.NewScanner(bytes.NewReader(dev))
	for lines.Scan() {
		name, rest, ok := strings.Cut(lines.Text(), ":")
		name = strings.TrimSpace(name)
		f := strings.Fields(rest)
		if _, err := strconv.ParseUint(strings.TrimPrefix(name, "eth"), 10, 16); !ok || err != nil || !strings.HasPrefix(name, "eth") || len(f) < 12 {
			continue
		}
		at := func(i int) uint64 { return number([]byte(f[i])) }
		if out == nil {
			out = map[string]ctypes.NetworkStats{}
		}
		out[name] = ctypes.NetworkStats{
			RxBytes: at(0), RxPackets: at(1), RxErrors: at(2), RxDropped: at(3),
			TxBytes: at(8), TxPackets: at(9), TxErrors: at(10), TxDropped: at(11),
		}
	}
	return out
}
