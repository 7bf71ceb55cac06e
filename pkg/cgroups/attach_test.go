package cgroups

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOwnCgroup(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"pids/a", "cpu,cpuacct/a", "a"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, dir, "cgroup.procs"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, membership, want string }{
		{"version 1", "9:name=systemd:/a\n8:pids:/a\n", "pids/a/cgroup.procs"},
		{"joined controllers", "4:cpu,cpuacct:/a\n", "cpu,cpuacct/a/cgroup.procs"},
		{"not mounted", "7:blkio:/a\n8:pids:/a\n", "pids/a/cgroup.procs"},
		{"version 2", "0::/a\n", "a/cgroup.procs"},
		{"outside of the namespace", "0::/../a\n", ""},
		{"broken", "0\n::\n", ""},
		{"empty", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			membership := filepath.Join(t.TempDir(), "cgroup")
			if err := os.WriteFile(membership, []byte(c.membership), 0o644); err != nil {
				t.Fatal(err)
			}
			if c.want != "" {
				c.want = filepath.Join(root, c.want)
			}
			if got := ownCgroup(membership, root); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestHastenAttach moves this process to where it is.
func TestHastenAttach(t *testing.T) {
	before, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	HastenAttach()()
	if after, err := os.ReadFile("/proc/self/cgroup"); err != nil || string(after) != string(before) {
		t.Errorf("moved from %q to %q (%v)", before, after, err)
	}
}
