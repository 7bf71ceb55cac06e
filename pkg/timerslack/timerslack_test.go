package timerslack

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// of is the slack of a process that sleeps, or of one of its threads.
func of(t *testing.T, id int) time.Duration {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(id) + "/timerslack_ns")
	if err != nil {
		t.Fatal(err)
	}
	ns, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(ns)
}

func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// A process has the slack of the thread that starts it, and is given another.
func TestDuring(t *testing.T) {
	usual, err := Get()
	if err != nil {
		t.Fatal(err)
	}
	slow, other := sleeper(t), sleeper(t)
	if err := During(3*time.Millisecond, slow.Start); err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	if got := of(t, slow.Process.Pid); got != 3*time.Millisecond {
		t.Errorf("started with %v", got)
	}
	if got := of(t, other.Process.Pid); got != usual {
		t.Errorf("one that is started later has %v, want %v", got, usual)
	}
	if err := Set(slow.Process.Pid, usual); err != nil {
		t.Fatal(err)
	}
	if got := of(t, slow.Process.Pid); got != usual {
		t.Errorf("%v, want %v", got, usual)
	}
}

// All threads of this process are set, and those to come.
func TestSet(t *testing.T) {
	usual, err := Get()
	if err != nil {
		t.Fatal(err)
	}
	if err := Set(os.Getpid(), 2*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := Set(os.Getpid(), usual); err != nil {
			t.Error(err)
		}
	}()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil || len(threads) < 2 {
		t.Fatal(len(threads), err)
	}
	for _, e := range threads {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if got := of(t, id); got != 2*time.Millisecond {
			t.Errorf("thread %d has %v", id, got)
		}
	}
}

func TestSetOfNobody(t *testing.T) {
	cmd := sleeper(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if Set(cmd.Process.Pid, time.Millisecond) == nil {
		t.Error("a process that is gone is set")
	}
}
