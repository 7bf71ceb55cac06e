package integration

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestDaemonDefaults has containers that say nothing get what the daemon's
// configuration says, and others what they say.
func TestDaemonDefaults(t *testing.T) {
	t.Parallel()
	profile := filepath.Join(t.TempDir(), "profile.json")
	// Everything is allowed but what makes folders.
	text := `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}`
	if err := os.WriteFile(profile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, harness.Options{Flags: []string{
		"--default-shm-size", "8m", "--default-ulimit", "nofile=100:200", "--default-ulimit", "core=0", "--default-ipc-mode", "shareable",
		"--cgroup-parent", "/berth-defaults", "--no-new-privileges", "--seccomp-profile", profile,
		"--dns", "192.0.2.53", "--dns-search", "example.org", "--dns-opt", "ndots:7", "--host-gateway-ip", "192.0.2.99",
	}})
	// Made by the runtime for the parent, which the daemon does not own.
	t.Cleanup(func() { harness.RemoveCgroups(t, "berth-defaults") })
	for _, c := range []struct {
		name, command, want string
		options             []string
	}{
		{"shared memory", "df -k /dev/shm | awk 'NR==2 {print $2}'", "8192", nil},
		{"own shared memory", "df -k /dev/shm | awk 'NR==2 {print $2}'", "4096", []string{"--shm-size", "4m"}},
		{"limits", "ulimit -Sn; ulimit -Hn; ulimit -c", "100\n200\n0", nil},
		{"own limit beside the daemon's", "ulimit -Sn; ulimit -c", "50\n0", []string{"--ulimit", "nofile=50:60"}},
		{"cgroup parent", "grep -c /berth-defaults/ /proc/self/cgroup >/dev/null && echo yes", "yes", []string{"--cgroupns", "host"}},
		{"privileges", "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1", nil},
		{"own privileges", "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t0", []string{"--security-opt", "no-new-privileges=false"}},
		{"seccomp", "mkdir /x 2>/dev/null || echo refused", "refused", nil},
		{"own seccomp", "mkdir /x && echo made", "made", []string{"--security-opt", "seccomp=unconfined"}},
		{"privileged has none", "mkdir /x && echo made", "made", []string{"--privileged"}},
		{"names", "grep -v '^#' /etc/resolv.conf", "nameserver 192.0.2.53\nsearch example.org\noptions ndots:7", nil},
		{"own names", "grep ^nameserver /etc/resolv.conf", "nameserver 192.0.2.1", []string{"--dns", "192.0.2.1"}},
		{"gateway", "grep gate /etc/hosts", "192.0.2.99\tgate", []string{"--add-host", "gate:host-gateway"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append(append([]string{"run", "--rm"}, c.options...), image, "sh", "-c", c.command)
			if got := d.Berth(args...).OK(t); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	d.Berth("create", "--name", "made", image).OK(t)
	if got := d.Berth("inspect", "-f", "{{.HostConfig.IpcMode}} {{.HostConfig.ShmSize}}", "made").OK(t); got != "shareable 8388608" {
		t.Errorf("inspect: %s", got)
	}
}

func glob(t *testing.T, patterns ...string) (all []string) {
	t.Helper()
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}
