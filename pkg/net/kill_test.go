package net

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/net/sandbox"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

const victimEnv = "BERTH_NET_VICTIM"

// killsEnv is how often TestKill kills, instead of a few times.
const killsEnv = "BERTH_TEST_NET_KILLS"

// TestVictim is the daemon that TestKill kills: it makes and removes networks
// and containers on them and says when, until it dies.
func TestVictim(t *testing.T) {
	root := os.Getenv(victimEnv)
	if root == "" {
		return // run by TestKill only
	}
	m, err := New(t.Context(), Config{DataRoot: root + "/data", ExecRoot: root + "/exec", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ports := portMap(t, "8080:80/tcp", ":81/udp")
	for i := 0; ; i++ {
		id := fmt.Sprintf("c%d", i)
		for _, step := range []struct {
			name string
			do   func() error
		}{
			{"create", func() error { _, err := m.Create(t.Context(), network.CreateRequest{Name: "app"}); return err }},
			{"setup", func() error { _, _, _, err := m.Setup(t.Context(), id, id, onBridge, ports); return err }},
			{"connect", func() error {
				_, _, err := m.Connect(t.Context(), id, "app", &network.EndpointSettings{GwPriority: 1}, ports)
				return err
			}},
			{"disconnect", func() error { _, _, err := m.Disconnect(t.Context(), id, "app", ports); return err }},
			{"teardown", func() error { return m.Teardown(t.Context(), id) }},
			{"remove", func() error { return m.Remove(t.Context(), "app") }},
		} {
			fmt.Println(step.name)
			if err := step.do(); err != nil {
				t.Fatal(step.name, err)
			}
		}
	}
}

// kill -9 at any point of what is done to networks and containers, then boot:
// what lives is whole, and of the rest nothing is left.
func TestKill(t *testing.T) {
	root := t.TempDir()
	rounds := 24
	if n, err := strconv.Atoi(os.Getenv(killsEnv)); err == nil {
		rounds = n
	}
	for round := range rounds {
		line := []string{"create\n", "setup\n", "connect\n", "disconnect\n", "teardown\n", "remove\n"}[round%6]
		kill(t, root, line, time.Duration(round/6%8)*500*time.Microsecond)
		m, err := New(t.Context(), Config{DataRoot: root + "/data", ExecRoot: root + "/exec", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		wholeOrGone(t, m)
		if err := m.Reconcile(t.Context(), nil); err != nil {
			t.Error(err)
		}
		nothingLeft(t, m)
		if err := m.Remove(t.Context(), "app"); err != nil && !errdefs.IsNotFound(err) {
			t.Error(err)
		}
		if links, _ := filepath.Glob("/sys/class/net/br-*"); len(links) > 0 {
			t.Errorf("left: %v", links)
		}
		if files, _ := filepath.Glob(root + "/data/networks/*"); len(files) != 3 {
			t.Errorf("networks: %v", files)
		}
		if err := m.Close(context.Background(), true); err != nil {
			t.Error(err)
		}
	}
}

// wholeOrGone reconciles as if all containers lived that had begun to.
func wholeOrGone(t *testing.T, m *Manager) {
	t.Helper()
	var live []string
	for id, s := range m.sandboxes.All() {
		if s.Ready {
			live = append(live, id)
		}
	}
	if err := m.Reconcile(t.Context(), live); err != nil {
		t.Error(err)
	}
	for _, id := range live {
		s, ok := m.sandboxes.Get(id)
		if !ok || s.On("bridge") < 0 || slices.ContainsFunc(s.Endpoints, func(e sandbox.Endpoint) bool { return e.Pending }) || len(s.Bindings) == 0 {
			t.Errorf("a container that lived: %+v", s)
			continue
		}
		listen(t, s.Key, "tcp/:80", id)
		if got := ask(t, hostNetNS, "tcp", "127.0.0.1:8080"); !strings.HasPrefix(got, id+" sees ") {
			t.Errorf("its port: %q", got)
		}
	}
}

// kill starts a victim and kills it after a while of the work that line begins.
func kill(t *testing.T, root, line string, after time.Duration) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestVictim$")
	cmd.Env = append(os.Environ(), victimEnv+"="+root)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	for n := 0; n < 2; { // not the first: the bridge and caches are cold
		s, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the victim ended by itself: %v %s", err, s)
		}
		if s == line {
			n++
		}
	}
	<-time.After(after) // where exactly it dies is meant to vary
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, r)
	_ = cmd.Wait() // killed, as it says
}
