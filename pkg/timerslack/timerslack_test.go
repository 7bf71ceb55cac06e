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

// The one thread that is set is that which wakes again and again while others have work.
func TestSetMonitor(t *testing.T) {
	usual, err := Get()
	if err != nil {
		t.Fatal(err)
	}
	if err := SetMonitor(time.Millisecond); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := SetMonitor(usual); err != nil {
			t.Error(err)
		}
	}()
	threads, err := threadsOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var patient []int
	before := map[int]int{} // how often each had slept
	for _, s := range threads {
		id, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		if of(t, id) != usual {
			patient = append(patient, id)
		}
		before[id] = sleptTimes(t, id)
	}
	if len(patient) != 1 {
		t.Fatalf("of %v these are set: %v", threads, patient)
	}
	// Work that calls nothing: whoever sleeps and wakes meanwhile looks after it.
	for began := time.Now(); time.Since(began) < 100*time.Millisecond; {
	}
	most := 0
	for id, n := range before {
		if most == 0 || sleptTimes(t, id)-n > sleptTimes(t, most)-before[most] {
			most = id
		}
	}
	if most != patient[0] {
		t.Errorf("thread %d is set, and %d looks after the others", patient[0], most)
	}
}

// sleptTimes is how often a thread gave up its processor by itself.
func sleptTimes(t *testing.T, id int) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(id) + "/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(b, []byte("\nvoluntary_ctxt_switches:"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	n, err := strconv.Atoi(string(bytes.TrimSpace(line)))
	if err != nil {
		t.Fatal(err)
	}
	return n
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
