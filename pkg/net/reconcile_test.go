package net

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/sandbox"
)

// A daemon that starts again: living containers keep everything, the dead lose it.
func TestReconcile(t *testing.T) {
	m := open(t)
	_, ip, _ := start(t, m, "alive", portMap(t, "8080:80/tcp"), "tcp/:80")
	start(t, m, "dead", portMap(t, "9090:90/tcp"))
	if err := exec.Command("nft", "flush", "ruleset").Run(); err != nil { // while it is away
		t.Fatal(err)
	}
	again := reopen(t, m)
	if got := ask(t, hostNetNS, "tcp", "127.0.0.1:8080"); got != "alive sees 172.17.0.1" {
		t.Errorf("before Reconcile: %q", got)
	}
	if err := again.Reconcile(t.Context(), []string{"alive", "unknown"}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, hostNetNS, "tcp", "127.0.0.1:8080"); got != "alive sees 172.17.0.1" {
		t.Errorf("after Reconcile: %q", got)
	}
	key, made, bound, ok := again.Restore("alive")
	if !ok || key != again.dirs.pin("alive") || made["bridge"].IPAddress != ip || len(bound) != 1 {
		t.Errorf("restored: %q %+v %v %v", key, made["bridge"], bound, ok)
	}
	if _, _, _, ok := again.Restore("dead"); ok {
		t.Error("the dead were restored")
	}
	_, _, _, err := again.Setup(t.Context(), "new", "new", onBridge, portMap(t, "8080:80/tcp"))
	if err == nil || !strings.Contains(err.Error(), "held by container alive") {
		t.Errorf("a port that is held: %v", err)
	}
	_, ip, _ = start(t, again, "new", portMap(t, "9090:90/tcp"))
	if ip.String() != "172.17.0.3" {
		t.Errorf("the dead one's address is not free: got %s", ip)
	}
	teardown(t, again, "alive")
}

// Whatever a start had made when the daemon died is found.
func TestReconcileHalfMade(t *testing.T) {
	for _, tt := range []struct {
		name string
		undo func(t *testing.T, m *Manager, s *sandbox.Sandbox) // takes back what was not made yet
	}{
		{"all", func(*testing.T, *Manager, *sandbox.Sandbox) {}},
		{"before the second record", func(t *testing.T, m *Manager, s *sandbox.Sandbox) { unready(t, m, s) }},
		{"before libcni's note", func(t *testing.T, m *Manager, s *sandbox.Sandbox) {
			unready(t, m, s)
			remove(t, m.dirs.notes())
		}},
		{"a note cut off", func(t *testing.T, m *Manager, s *sandbox.Sandbox) {
			unready(t, m, s)
			notes, _ := filepath.Glob(filepath.Join(m.dirs.notes(), "results", "*"))
			for _, n := range notes {
				if err := os.Truncate(n, 20); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"before the veth", func(t *testing.T, m *Manager, s *sandbox.Sandbox) {
			unready(t, m, s)
			remove(t, m.dirs.notes())
			if err := bridge.DeleteLink(bridge.HostName(s.ID, "eth0")); err != nil {
				t.Fatal(err)
			}
		}},
		{"before the namespace was pinned", func(t *testing.T, m *Manager, s *sandbox.Sandbox) {
			unready(t, m, s)
			remove(t, m.dirs.notes())
			remove(t, m.dirs.state("leases"))
			if err := bridge.DeleteNetNS(s.Key); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(s.Key, nil, 0o400); err != nil {
				t.Fatal(err)
			}
		}},
		{"a record that cannot be read", func(t *testing.T, m *Manager, s *sandbox.Sandbox) {
			if err := os.WriteFile(m.dirs.sandbox(s.ID), []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"no record", func(t *testing.T, m *Manager, s *sandbox.Sandbox) { remove(t, m.dirs.sandbox(s.ID)) }},
		{"a record half written", func(t *testing.T, m *Manager, s *sandbox.Sandbox) {
			if err := os.Rename(m.dirs.sandbox(s.ID), filepath.Join(m.dirs.sandboxes(), ".tmp-1")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := open(t)
			if _, _, _, err := m.Setup(t.Context(), "c", "c", onBridge, portMap(t, "8080:80/tcp")); err != nil {
				t.Fatal(err)
			}
			s, _ := m.sandboxes.Get("c")
			tt.undo(t, m, s)
			again := reopen(t, m)
			if err := again.Reconcile(t.Context(), nil); err != nil {
				t.Fatal(err)
			}
			nothingLeft(t, again)
		})
	}
}

func unready(t *testing.T, m *Manager, s *sandbox.Sandbox) {
	t.Helper()
	half := *s
	half.Ready = false
	if err := m.sandboxes.Put(&half); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}
