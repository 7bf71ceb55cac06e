package net

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"
)

const victimEnv = "BERTH_NET_VICTIM"

// TestVictim is the daemon that TestKill kills: it makes and removes
// containers' networks and says when, until it dies.
func TestVictim(t *testing.T) {
	root := os.Getenv(victimEnv)
	if root == "" {
		return // run by TestKill only
	}
	m, err := New(t.Context(), Config{DataRoot: root + "/data", ExecRoot: root + "/exec", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		fmt.Println("begin")
		id := fmt.Sprintf("c%d", i)
		if _, _, _, err := m.Setup(t.Context(), id, id, onBridge, portMap(t, "8080:80/tcp", ":81/udp")); err != nil {
			t.Fatal(err)
		}
		fmt.Println("end")
		if err := m.Teardown(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
}

// kill -9 at any point of a start or a removal, then boot: nothing is left.
func TestKill(t *testing.T) {
	root := t.TempDir()
	for round := range 12 {
		line := "begin\n"
		if round%2 == 1 {
			line = "end\n"
		}
		kill(t, root, line, time.Duration(round)*500*time.Microsecond)
		m, err := New(t.Context(), Config{DataRoot: root + "/data", ExecRoot: root + "/exec", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Reconcile(t.Context(), nil); err != nil {
			t.Error(err)
		}
		nothingLeft(t, m)
		if err := m.Close(context.Background(), true); err != nil {
			t.Error(err)
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
