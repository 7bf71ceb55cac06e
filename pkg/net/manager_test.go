package net

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/moby/moby/api/types/network"
	"github.com/vishvananda/netlink"
)

func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" { // in TestKill's namespaces already
		os.Exit(m.Run())
	}
	nettest.Main(m)
}

var onBridge = map[string]*network.EndpointSettings{"bridge": nil}

// running is the manager of an EXEC that runs now; the tests here are not parallel.
var running = map[string]*Manager{}

// open starts a daemon's networks; the test's end must find nothing left.
func open(t testing.TB, change ...func(*Config)) *Manager {
	t.Helper()
	c := Config{DataRoot: t.TempDir(), ExecRoot: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&c)
	}
	m, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	running[c.ExecRoot] = m
	t.Cleanup(func() {
		m := running[c.ExecRoot]
		nothingLeft(t, m)
		if err := m.Close(context.Background(), true); err != nil {
			t.Error(err)
		}
		if _, err := netlink.LinkByName(m.cfg.Bridge); err == nil {
			t.Errorf("bridge %s is left", m.cfg.Bridge)
		}
		if out, _ := exec.Command("nft", "list", "tables").CombinedOutput(); strings.Contains(string(out), m.cfg.table()) {
			t.Errorf("the table is left: %s", out)
		}
	})
	return m
}

// reopen is what a daemon that was killed does when it starts again.
func reopen(t testing.TB, m *Manager) *Manager {
	t.Helper()
	if err := m.close(); err != nil { // the kernel does that for a dead process
		t.Fatal(err)
	}
	again, err := New(t.Context(), m.cfg)
	if err != nil {
		t.Fatal(err)
	}
	running[m.cfg.ExecRoot] = again
	return again
}

// nothingLeft checks that no container has left anything.
func nothingLeft(t testing.TB, m *Manager) {
	t.Helper()
	for _, pattern := range []string{"net/sandboxes/*", "net/sandboxes/.*", "net/leases/*/*", "net/cni/results/*", "netns/*"} {
		left, err := filepath.Glob(filepath.Join(m.cfg.ExecRoot, pattern))
		if err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	}
	ends, err := bridge.Endpoints(m.cfg.Bridge)
	if err != nil || len(ends) > 0 {
		t.Errorf("left: %v, %v", ends, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), m.dirs.pins()) {
		t.Errorf("a namespace is left mounted: %v\n%s", err, mounts)
	}
	for _, table := range []string{"hosts4", "ports4"} {
		out, err := exec.Command("nft", "list", "map", "inet", m.cfg.table(), table).CombinedOutput()
		if err == nil && strings.Contains(string(out), "elements") {
			t.Errorf("published ports are left: %s", out)
		}
	}
}
