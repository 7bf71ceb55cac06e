package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// machine is what a test could leave behind on it: links, firewall tables and
// named network namespaces. Mounts and processes are found by the daemon's root.
type machine struct{ links, tables, namespaces []string }

func look() machine {
	return machine{
		links:      names("/sys/class/net"),
		tables:     lines(exec.Command("nft", "list", "tables")),
		namespaces: names("/run/netns"),
	}
}

func names(dir string) (out []string) {
	entries, _ := os.ReadDir(dir) // absent is empty
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func lines(cmd *exec.Cmd) []string {
	out, _ := cmd.Output()
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// compare reports what the daemon left. Other engines and tests may come and go
// meanwhile, so only what carries its name counts; veths have none, and are
// given the moment that the kernel takes to drop a namespace.
func (m machine) compare(t *testing.T, d *Daemon) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for {
		left := append(m.links1(d), append(mountsBelow(d.Root), processesOf(d.Root)...)...)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (m machine) links1(d *Daemon) (left []string) {
	now := look()
	for _, l := range now.links {
		if l == d.Bridge {
			left = append(left, "bridge "+l)
		}
	}
	for _, tb := range now.tables {
		if strings.Contains(tb, d.Bridge) && !slices.Contains(m.tables, tb) {
			left = append(left, "firewall "+tb)
		}
	}
	return left
}

// mountsBelow lists mounts with a path below root.
func mountsBelow(root string) (left []string) {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	for l := range strings.Lines(string(b)) {
		if f := strings.Fields(l); len(f) > 4 && strings.HasPrefix(f[4], root+"/") {
			left = append(left, "mount "+f[4])
		}
	}
	return left
}

// processesOf lists processes that were started with a path below root.
func processesOf(root string) (left []string) {
	found, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range found {
		b, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(b), root+"/") {
			left = append(left, fmt.Sprintf("process %s: %s", filepath.Base(filepath.Dir(f)), strings.ReplaceAll(string(b), "\x00", " ")))
		}
	}
	return left
}
