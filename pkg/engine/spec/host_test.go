package spec

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/moby/moby/api/types/container"
)

func TestDetectHost(t *testing.T) {
	h, err := DetectHost()
	must(t, err)
	if h.CPUs < 1 || h.CPUSet == "" || !h.Can("CAP_CHOWN") || h.Rlimits["nofile"] == 0 || len(h.Controllers) == 0 {
		t.Errorf("%+v", h)
	}
}

// tree makes files with the given content.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		p := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		must(t, os.WriteFile(p, []byte(content), 0o644))
	}
	return dir
}

func TestDetectCgroups(t *testing.T) {
	var h Host
	must(t, h.detectCgroups(tree(t, map[string]string{"cgroup.controllers": "cpuset cpu io memory hugetlb pids\n", "system.slice/memory.swap.max": "max\n"})))
	if !h.Cgroup2 || !h.SwapLimit || !h.MemoryLimit || h.Swappiness || h.OomKillDisable || h.CPURealtime || !h.BlkioThrottle || !slices.Contains(h.Controllers, "hugetlb") {
		t.Errorf("v2: %+v", h)
	}
	h = Host{}
	must(t, h.detectCgroups(tree(t, map[string]string{"cgroup.controllers": "memory\n"})))
	if h.SwapLimit || h.CPUCfs || h.PidsLimit {
		t.Errorf("v2 with memory only: %+v", h)
	}
	h = Host{}
	must(t, h.detectCgroups(tree(t, map[string]string{
		"memory/cgroup.procs": "", "memory/memory.limit_in_bytes": "", "memory/memory.swappiness": "", "cpu,cpuacct/cgroup.procs": "",
		"cpu/cgroup.procs": "", "cpu/cpu.shares": "", "unified/cgroup.procs": "", "unified/cgroup.controllers": "hugetlb",
	})))
	if h.Cgroup2 || !h.MemoryLimit || h.SwapLimit || !h.Swappiness || !h.CPUShares || h.CPUCfs || h.PidsLimit || !slices.Equal(h.Controllers, []string{"cpu", "cpuacct", "memory"}) {
		t.Errorf("v1: %+v", h)
	}
	if (&Host{}).detectCgroups("/nonexistent") == nil {
		t.Error("a host without cgroups")
	}
}

func TestSysctls(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Input)
		want   map[string]string
	}{
		"own network":    {func(*Input) {}, netSysctls},
		"host":           {func(in *Input) { in.NetNS = "" }, nil},
		"joined network": {func(in *Input) { in.HostConfig.NetworkMode, in.Config.Hostname = "container:x", "" }, nil},
		"user's own": {func(in *Input) {
			in.HostConfig.Sysctls = map[string]string{"net/ipv4/ip_unprivileged_port_start": "1024", "net/ipv4/conf/eth0.1/forwarding": "1"}
		}, map[string]string{"net.ipv4.ip_unprivileged_port_start": "1024", "net.ipv4.ping_group_range": "0 2147483647", "net.ipv4.conf.eth0/1.forwarding": "1"}},
		"kernel without": {func(in *Input) { in.Host.NetSysctls = nil }, nil},
	} {
		if got := build(t, c.change).Linux.Sysctl; !maps.Equal(got, c.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCgroupsPath(t *testing.T) {
	for _, c := range [][3]string{
		{"", "", "/berth/id"}, {"", "/own", "/own/id"}, {"mine", "/own", "/mine/id"}, {"/a/../../b", "", "/b/id"}, {"..", "", "/id"},
	} {
		if got := CgroupsPath(&container.HostConfig{Resources: container.Resources{CgroupParent: c[0]}}, c[1], "id"); got != c[2] {
			t.Errorf("%v: %s", c, got)
		}
	}
}
