package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestOptions gives options of run and looks at their effect from inside the
// container.
func TestOptions(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte("# comment\nFROM_FILE=yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	defaults := "00000000a80425fb" // Docker's fourteen capabilities
	for _, c := range []struct {
		name    string
		options string
		command string
		want    string // a part of the output
	}{
		{"env file", "--env-file " + file, "echo $FROM_FILE", "yes"},
		{"default environment", "", "echo $PATH $HOME $HOSTNAME | wc -w", "3"},
		{"home of a user", "-u 1234", "echo $HOME", "/"},
		{"user and group", "-u 12:34 --group-add 56", "id", "uid=12 gid=34 groups=34,56"},
		{"working folder is made", "-w /a/b/c", "pwd", "/a/b/c"},
		{"capabilities", "", "grep CapEff /proc/self/status", defaults},
		{"no capabilities", "--cap-drop ALL", "grep CapEff /proc/self/status", "0000000000000000"},
		{"one capability", "--cap-drop ALL --cap-add NET_ADMIN", "grep CapEff /proc/self/status", "0000000000001000"},
		{"no capabilities of a user", "-u 12", "grep CapEff /proc/self/status", "0000000000000000"},
		{"seccomp", "", "grep Seccomp: /proc/self/status", "2"},
		{"no seccomp", "--security-opt seccomp=unconfined", "grep Seccomp: /proc/self/status", "0"},
		{"no new privileges", "--security-opt no-new-privileges", "grep NoNewPrivs /proc/self/status", "1"},
		{"privileged", "--privileged", "grep Seccomp: /proc/self/status; ls /dev/loop-control", "0\n/dev/loop-control"},
		{"masked paths", "", "wc -c </proc/keys; ls /sys/firmware | wc -l", "0\n0"},
		{"read-only paths", "", "echo 1 >/proc/sys/kernel/panic || echo refused", "refused"},
		{"cgroups are read-only", "", "cd /sys/fs/cgroup; test -d pids && cd pids; mkdir x || echo refused", "refused"},
		{"read-only root", "--read-only", "touch /x || echo refused", "refused"},
		{"init", "--init", "cat /proc/1/comm", "docker-init"},
		{"memory", "--memory 64m", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max", "67108864"},
		{"CPUs", "--cpus 0.5", "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us || cat /sys/fs/cgroup/cpu.max", "50000"},
		{"CPU shares", "--cpu-shares 512", "cat /sys/fs/cgroup/cpu/cpu.shares || echo 512", "512"},
		{"processes", "--pids-limit 50", "cat /sys/fs/cgroup/pids/pids.max || cat /sys/fs/cgroup/pids.max", "50"},
		{"rlimit", "--ulimit nofile=100:200", "ulimit -Sn; ulimit -Hn", "100\n200"},
		{"sysctl", "--sysctl net.ipv4.ip_unprivileged_port_start=1024", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "1024"},
		{"unprivileged ports", "", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "0"},
		{"shared memory", "--shm-size 8m", "df -k /dev/shm | tail -1", "8192"},
		{"device", "--device /dev/zero:/dev/nothing:r", "head -c 3 /dev/nothing | wc -c", "3"},
		{"devices are closed", "--cap-add MKNOD", "mknod /x b 7 0; cat /x || echo refused", "refused"},
		{"hosts", "--add-host db:192.0.2.7 --hostname web", "grep -c web /etc/hosts; grep db /etc/hosts", "1\n192.0.2.7\tdb"},
		{"DNS", "--dns 192.0.2.53 --dns-search example.org --dns-option ndots:3", "cat /etc/resolv.conf", "nameserver 192.0.2.53"},
		{"domain", "--hostname web --domainname example.org", "cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname /etc/hostname", "web\nexample.org\nweb.example.org"},
		{"host's PIDs", "--pid host", "test $$ -gt 1 && echo many", "many"},
		{"host's IPC", "--ipc host", "readlink /proc/self/ns/ipc", link(t, "ipc")},
		{"host's UTS", "--uts host", "readlink /proc/self/ns/uts", link(t, "uts")},
		{"host's cgroup namespace", "--cgroupns host", "readlink /proc/self/ns/cgroup", link(t, "cgroup")},
		{"MAC address", "--mac-address 02:42:12:34:56:78", "cat /sys/class/net/eth0/address", "02:42:12:34:56:78"},
		{"OOM score", "--oom-score-adj 500", "cat /proc/self/oom_score_adj", "500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append(append([]string{"run", "--rm"}, strings.Fields(c.options)...), image, "sh", "-c", "("+c.command+") 2>/dev/null")
			if got := d.Berth(args...).OK(t); !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// link names a namespace of this process.
func link(t *testing.T, name string) string {
	t.Helper()
	s, err := os.Readlink("/proc/self/ns/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestExecOptions does so for exec.
func TestExecOptions(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "box", "-e", "A=run", "-w", "/tmp", "--cap-drop", "ALL", image, "sleep", "1000").OK(t)
	for _, c := range []struct{ name, options, command, want string }{
		{"environment", "-e B=exec", "echo $A $B", "run exec"},
		{"working folder of the container", "", "pwd", "/tmp"},
		{"working folder", "-w /etc", "pwd", "/etc"},
		{"user", "-u 12:34", "id -u; id -g", "12\n34"},
		{"capabilities of the container", "", "grep CapEff /proc/self/status", "0000000000000000"},
		{"privileged", "--privileged", "grep CapEff /proc/self/status | grep -c 0000000000000000", "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append(append([]string{"exec"}, strings.Fields(c.options)...), "box", "sh", "-c", c.command)
			r := d.Berth(args...)
			if got := strings.TrimSpace(r.Stdout); !strings.HasSuffix(got, c.want) {
				t.Errorf("got %q, want %q: %s", got, c.want, r.Stderr)
			}
		})
	}
	d.Berth("exec", "-d", "box", "sh", "-c", "echo late >/detached").OK(t)
	await(t, "the detached exec wrote", func() bool { return d.Berth("exec", "box", "cat", "/detached").Stdout == "late\n" })
}

// TestLogs reads logs by their options and from each driver.
func TestLogs(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "--name", "two", image, "sh", "-c", "echo one; echo two >&2; printf three").OK(t)
	r := d.Berth("logs", "two")
	if r.Stdout != "one\nthree" || r.Stderr != "two\n" {
		t.Errorf("stdout %q, stderr %q", r.Stdout, r.Stderr)
	}
	if got := d.Berth("logs", "-n", "1", "two"); got.Stdout != "three" || got.Stderr != "" {
		t.Errorf("the last line is %+v", got)
	}
	stamp, line, _ := strings.Cut(strings.Split(d.Berth("logs", "-t", "two").OK(t), "\n")[0], " ")
	if line != "one" || !strings.HasSuffix(stamp, "Z") {
		t.Errorf("with its time: %q %q", stamp, line)
	}
	if got := d.Berth("logs", "--since", "1h", "--until", stamp, "two"); got.OK(t) != "one" {
		t.Errorf("until %s: %q", stamp, got.Stdout)
	}
	if got := d.Berth("logs", "--since", "2100-01-01T00:00:00Z", "two").OK(t); got != "" {
		t.Errorf("since 2100: %q", got)
	}
	d.Berth("run", "--name", "silent", "--log-driver", "none", image, "echo", "unheard").OK(t)
	d.Berth("logs", "silent").Fails(t, 1, "configured logging driver does not support reading")
	d.Berth("run", "--name", "rotated", "--log-opt", "max-size=20k", "--log-opt", "max-file=2", image, "seq", "1", "20000").OK(t)
	lines := strings.Fields(d.Berth("logs", "rotated").OK(t))
	if n := len(lines); n == 0 || n > 2000 || lines[n-1] != "20000" {
		t.Errorf("the rotated log has %d lines, up to %s", len(lines), lines[max(0, len(lines)-1)])
	}
	d.Berth("run", "--name", "labelled", "--label", "team=blue", "--log-opt", "labels=team", image, "echo", "x").OK(t)
	if got := d.Berth("logs", "--details", "labelled").OK(t); got != "team=blue x" {
		t.Errorf("details: %q", got)
	}
}

// TestSizes writes into a container's own layer and has it measured.
func TestSizes(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "--name", "fat", image, "dd", "if=/dev/zero", "of=/big", "bs=1M", "count=3").OK(t)
	var own, all int64
	if _, err := fmt.Sscan(d.Berth("inspect", "-s", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "fat").OK(t), &own, &all); err != nil {
		t.Fatal(err)
	}
	if own < 3<<20 || own > 4<<20 || all <= own {
		t.Errorf("own layer %d bytes, with the image %d", own, all)
	}
	if got := d.Berth("ps", "-as", "--format", "{{.Size}}").OK(t); !strings.HasPrefix(got, "3.1") || !strings.Contains(got, "(virtual ") {
		t.Errorf("ps -s shows %q", got)
	}
	if got := d.Berth("inspect", "-f", "{{.SizeRw}}", "fat").OK(t); got != "<nil>" {
		t.Errorf("a size that nobody asked for: %s", got)
	}
}
