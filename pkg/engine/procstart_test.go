package engine

import (
	osexec "os/exec"
	"testing"
	"time"
)

func TestProcessStart(t *testing.T) {
	before := time.Now()
	cmd := osexec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	after := time.Now()
	got := processStart(cmd.Process.Pid)
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	const grain = 50 * time.Millisecond // of the clock ticks and of /proc/uptime
	if got.Before(before.Add(-grain)) || got.After(after.Add(grain)) {
		t.Errorf("started at %s, not between %s and %s", got, before, after)
	}
}
