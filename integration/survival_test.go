package integration

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestKilledDaemon kills berthd while a container prints numbers as fast as it
// can: the container goes on, no number is lost or doubled, and streams work
// again afterwards.
func TestKilledDaemon(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	const last = 300000
	d.Berth("run", "-d", "--name", "counter", "--log-opt", "max-size=1g", image, "seq", "1", strconv.Itoa(last)).OK(t)
	d.Kill()
	d.Run()
	d.Kill()
	d.Run()
	if got := d.Berth("wait", "counter").OK(t); got != "0" {
		t.Fatalf("the container ended with %s", got)
	}
	lines := bufio.NewScanner(strings.NewReader(d.Berth("logs", "counter").OK(t)))
	n := 0
	for lines.Scan() {
		n++
		if lines.Text() != strconv.Itoa(n) {
			t.Fatalf("line %d is %q", n, lines.Text())
		}
	}
	if n != last {
		t.Fatalf("%d lines, want %d", n, last)
	}
}

// TestAttachAfterKill attaches to a container that outlived its daemon, both
// ways, and stops it.
func TestAttachAfterKill(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "-i", "--name", "echo", "-p", "127.0.0.1::80", image, "sh", "-c", "while read l; do echo got $l; done").OK(t)
	before := d.Berth("inspect", "-f", "{{.State.Pid}} {{json .NetworkSettings.Ports}} {{json .NetworkSettings.Networks}}", "echo").OK(t)
	d.Kill()
	d.Run()
	if after := d.Berth("inspect", "-f", "{{.State.Pid}} {{json .NetworkSettings.Ports}} {{json .NetworkSettings.Networks}}", "echo").OK(t); after != before {
		t.Fatalf("after the kill: %s\nbefore: %s", after, before)
	}
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	cmd := d.Command(ctx, harness.BerthCLI(), "attach", "--no-stdin=false", "echo")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for i := range 3 {
		fmt.Fprintf(in, "line %d\n", i)
		got, err := lines.ReadString('\n')
		if want := fmt.Sprintf("got line %d\n", i); err != nil || got != want {
			t.Fatalf("attach gave %q (%v), want %q", got, err, want)
		}
	}
	_ = cmd.Process.Kill() // a client that dies
	_ = cmd.Wait()
	if got := d.Berth("exec", "echo", "echo", "exec").OK(t); got != "exec" {
		t.Fatalf("exec gave %q", got)
	}
	d.Berth("stop", "-t", "0", "echo").OK(t)
}

// TestFollowedLogs follows a log over a stop of the container.
func TestFollowedLogs(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "ticker", image, "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.01; done").OK(t)
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	cmd := d.Command(ctx, harness.BerthCLI(), "logs", "-f", "ticker")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	var followed bytes.Buffer
	for n := 0; lines.Scan(); n++ {
		fmt.Fprintln(&followed, lines.Text())
		if n == 20 {
			d.Berth("stop", "-t", "0", "ticker").OK(t)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("logs -f: %v", err)
	}
	if all := d.Berth("logs", "ticker").Stdout; all != followed.String() {
		t.Fatalf("followed %d bytes, the log has %d", followed.Len(), len(all))
	}
}

// TestSlowClient attaches a client that reads nothing: the container must not
// notice.
func TestSlowClient(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	cmd := d.Command(ctx, harness.BerthCLI(), "run", "--name", "loud", image, "sh", "-c", "seq 1 200000")
	r, w := io.Pipe() // nobody reads r until the container has ended
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitState(t, d, "loud", "exited")
	count := make(chan int)
	go func() {
		b, _ := io.ReadAll(r)
		count <- bytes.Count(b, []byte("\n"))
	}()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if n := <-count; n != 200000 {
		t.Fatalf("the slow client got %d lines", n)
	}
}

// awaitState waits until a container is in a state.
func awaitState(t *testing.T, d *harness.Daemon, name, state string) {
	t.Helper()
	await(t, name+" is "+state, func() bool {
		return strings.TrimSpace(d.Berth("inspect", "-f", "{{.State.Status}}", name).Stdout) == state
	})
}

// TestSecondDaemon refuses a second berthd on the same root, by name, and runs
// one beside on another.
func TestSecondDaemon(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	out, err := exec.Command(harness.Bin()+"/berthd", "--data-root", d.Data(), "--exec-root", d.Exec()+"2",
		"-H", "unix://"+d.Root+"/second.sock", "--bridge", "none", "--pidfile", d.Root+"/second.pid").CombinedOutput()
	if err == nil || !strings.Contains(string(out), d.Data()) {
		t.Fatalf("a second berthd on the same root: %v\n%s", err, out)
	}
	other := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "same", image, "sleep", "1000").OK(t)
	other.Berth("run", "-d", "--name", "same", image, "sleep", "1000").OK(t)
	other.Berth("rm", "-f", "same").OK(t)
	if got := d.Berth("ps", "--format", "{{.Names}}").OK(t); got != "same" {
		t.Fatalf("the first daemon has %q", got)
	}
}
