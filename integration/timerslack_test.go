package integration

import (
	"os"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// The timers of what runs in a container are as punctual as those of who started the
// daemon, whatever the processes before it have.
func TestTimerSlack(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	b, err := os.ReadFile("/proc/self/timerslack_ns")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSpace(string(b))
	expect := func(who, got string) {
		t.Helper()
		if strings.TrimSpace(got) != want {
			t.Errorf("%s has %s, want %s", who, got, want)
		}
	}
	read := []string{"cat", "/proc/self/timerslack_ns"}
	expect("a program", d.Berth(append([]string{"run", "--rm", image}, read...)...).OK(t))
	expect("one with --init", d.Berth(append([]string{"run", "--rm", "--init", image}, read...)...).OK(t))
	d.Berth("run", "-d", "--name", "sleeps", "--init", image, "sleep", "1000").OK(t)
	expect("exec", d.Berth(append([]string{"exec", "sleeps"}, read...)...).OK(t))
	expectOfInit := func(when string) {
		t.Helper()
		b, err := os.ReadFile("/proc/" + d.Berth("inspect", "-f", "{{.State.Pid}}", "sleeps").OK(t) + "/timerslack_ns")
		if err != nil {
			t.Fatal(err)
		}
		expect("PID 1 "+when, string(b))
	}
	expectOfInit("after the start")
	d.Berth("restart", "-t", "0", "sleeps").OK(t)
	expectOfInit("after a restart")
}
