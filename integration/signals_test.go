package integration

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestSignals sends signals to clients, which pass them on or keep them.
func TestSignals(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	for name, client := range clients(t) {
		t.Run(name, func(t *testing.T) {
			run := besides(t, d, client, "run", "--name", name, image, "sh", "-c", trapping)
			await(t, "the traps are set", func() bool { return strings.Contains(d.Berth("logs", name).Stderr, "err") })
			kept := besides(t, d, client, "attach", "--sig-proxy=false", name)
			passed := besides(t, d, client, "attach", name)
			await(t, "both are attached", func() bool {
				d.Berth("kill", "-s", "USR1", name).OK(t)
				return kept.printed("got USR1") && passed.printed("got USR1")
			})
			if code := kept.gets(syscall.SIGQUIT).exit(); code == 5 || strings.Contains(d.Berth("logs", name).OK(t), "got QUIT") {
				t.Errorf("a signal to a client that keeps it: exit code %d", code)
			}
			passed.gets(syscall.SIGQUIT)
			await(t, "the container has it", func() bool { return run.printed("got QUIT") })
			if a, b := run.gets(syscall.SIGTERM).exit(), passed.exit(); a != 5 || b != 5 {
				t.Errorf("exit codes %d and %d of a container that ended with 5", a, b)
			}

			cat := name + "-cat"
			d.Berth("create", "-i", "--name", cat, image, "cat").OK(t) // its stdin ends with a client's
			d.Berth("start", cat).OK(t)
			deaf := besides(t, d, client, "attach", "--no-stdin", cat)
			await(t, "it is attached", func() bool {
				return d.Berth("events", "--since", "1h", "--until", "0s", "--filter", "event=attach", "--filter", "container="+cat).OK(t) != ""
			})
			if got := d.Client(client, strings.NewReader("heard"), "attach", cat).OK(t); got != "heard" {
				t.Errorf("attach printed %q", got)
			}
			if code := deaf.exit(); code != 0 || !deaf.printed("^heard$") {
				t.Errorf("attach --no-stdin: exit code %d", code)
			}
			if log := d.Berth("logs", cat).OK(t); log != "heard" {
				t.Errorf("the container read %q", log)
			}
		})
	}
}

// onlooker is a client's command that works while the test does.
type onlooker struct {
	t   *testing.T
	cmd *exec.Cmd
	out screen
}

func besides(t *testing.T, d *harness.Daemon, client string, args ...string) *onlooker {
	t.Helper()
	b := &onlooker{t: t, cmd: d.Command(t.Context(), client, args...)}
	b.cmd.Stdin, b.cmd.Stdout, b.cmd.Stderr = strings.NewReader("unheard"), &b.out, &b.out
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return b
}

// printed asks for an expression in what was printed since the last match.
func (b *onlooker) printed(want string) bool {
	_, ok := b.out.take(regexp.MustCompile(want))
	return ok
}

func (b *onlooker) gets(sig syscall.Signal) *onlooker {
	b.t.Helper()
	if err := b.cmd.Process.Signal(sig); err != nil {
		b.t.Fatal(err)
	}
	return b
}

// exit is the command's exit code, or -1 when a signal ended it.
func (b *onlooker) exit() int {
	var exit *exec.ExitError
	if err := b.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		b.t.Fatal(err)
	}
	return b.cmd.ProcessState.ExitCode()
}

// TestStoppedAtOnce stops containers with --init as soon as they run: the signal reaches
// the command, however little of what is before it has come up.
func TestStoppedAtOnce(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	var clients sync.WaitGroup
	for client := range 4 {
		clients.Go(func() {
			for n := range 8 {
				name := fmt.Sprintf("brief-%d-%d", client, n)
				d.Berth("run", "-d", "--init", "--network", "none", "--name", name, image, "sleep", "100000").OK(t)
				d.Berth("stop", "-t", "60", name).OK(t)
				if code := d.Berth("inspect", "-f", "{{.State.ExitCode}}", name).OK(t); code != "143" {
					t.Errorf("%s ended with %s", name, code)
				}
			}
		})
	}
	clients.Wait()
}
