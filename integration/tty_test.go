package integration

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
	"github.com/containerd/console"
)

// terminal is a client's command on a terminal of its own, as a user has it.
type terminal struct {
	t      *testing.T
	pty    console.Console
	cmd    *exec.Cmd
	ended  chan struct{} // closed when cmd has ended and code is set
	code   int
	screen screen
}

// screen is what the terminal shows that expect has not taken yet.
type screen struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// take removes what is up to the end of a match; "", false without one.
func (s *screen) take(want *regexp.Regexp) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := want.FindIndex(s.b.Bytes())
	if at == nil {
		return s.b.String(), false
	}
	return string(s.b.Next(at[1])), true
}

// onTerminal starts a command of a client.
func onTerminal(t *testing.T, d *harness.Daemon, client string, args ...string) *terminal {
	t.Helper()
	pty, path, err := console.NewPty()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	tt := &terminal{t: t, pty: pty, ended: make(chan struct{}), cmd: d.Command(ctx, client, args...)}
	tt.resize(80, 24)
	tty, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	tt.cmd.Stdin, tt.cmd.Stdout, tt.cmd.Stderr = tty, tty, tty
	tt.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	tt.cmd.Env = append(tt.cmd.Env, "TERM=xterm")
	if err := tt.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		b := make([]byte, 4096)
		for {
			n, err := pty.Read(b)
			_, _ = tt.screen.Write(b[:n])
			if err != nil { // EIO: the command has ended
				return
			}
		}
	}()
	go func() {
		defer close(tt.ended)
		var exit *exec.ExitError
		if err := tt.cmd.Wait(); errors.As(err, &exit) {
			tt.code = exit.ExitCode()
		}
		<-shown
	}()
	t.Cleanup(func() {
		cancel()
		<-tt.ended
		pty.Close()
	})
	return tt
}

func (tt *terminal) resize(width, height uint16) {
	tt.t.Helper()
	if err := tt.pty.Resize(console.WinSize{Width: width, Height: height}); err != nil {
		tt.t.Fatal(err)
	}
}

// types writes what a user types.
func (tt *terminal) types(keys string) {
	tt.t.Helper()
	if _, err := tt.pty.Write([]byte(keys)); err != nil {
		tt.t.Fatal(err)
	}
}

// expect waits until the screen shows a match of a regular expression.
func (tt *terminal) expect(want string) string {
	tt.t.Helper()
	re, deadline := regexp.MustCompile(want), time.Now().Add(harness.Patience)
	for {
		shown, ok := tt.screen.take(re)
		if ok {
			return shown
		}
		if time.Now().After(deadline) {
			tt.t.Fatalf("%s: the screen does not show %s, but %q", strings.Join(tt.cmd.Args[1:], " "), want, shown)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// exits waits for the end of the command.
func (tt *terminal) exits(code int) {
	tt.t.Helper()
	<-tt.ended
	if tt.code != code {
		shown, _ := tt.screen.take(regexp.MustCompile(`(?s).*`))
		tt.t.Fatalf("%s: exit code %d, want %d; the screen shows %q", strings.Join(tt.cmd.Args[1:], " "), tt.code, code, shown)
	}
}

const detachKeys = "\x10\x11" // ctrl-p ctrl-q

// TestTerminal works in a container on a terminal, through each client.
func TestTerminal(t *testing.T) {
	for name, client := range clients(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := start(t, harness.Options{})
			shell := onTerminal(t, d, client, "run", "-it", "--name", "box", image, "sh")
			shell.expect(`# `)
			shell.types("stty size; tty; echo $((40+2))\n")
			shell.expect(`stty size.*\r\n24 80\r\n/dev/pts/0\r\n42\r\n`)
			shell.resize(132, 43)
			awaitSize(t, d, "box", "43 132")
			shell.types("stty size\n")
			shell.expect(`43 132\r\n`)
			shell.types(detachKeys)
			shell.exits(0)

			awaitState(t, d, "box", "running")
			again := onTerminal(t, d, client, "attach", "box")
			again.types("echo again $((1+1))\n")
			again.expect(`again 2\r\n`)

			side := onTerminal(t, d, client, "exec", "-it", "box", "sh")
			side.expect(`# `)
			side.types("tty; stty size\n")
			side.expect(`/dev/pts/1\r\n24 80\r\n`)
			side.resize(100, 30)
			side.types("until [ \"$(stty size)\" = '30 100' ]; do sleep 0.01; done; echo re''sized\n")
			side.expect(`resized\r\n`)
			side.types("\x03exit 9\n") // ctrl-c ends the line, not the client
			side.exits(9)

			// An exec may be left as well; the client makes an error of it.
			left := onTerminal(t, d, client, "exec", "-it", "--detach-keys", "ctrl-x,x", "box", "sh")
			left.expect(`# `)
			left.types("\x18x")
			left.expect(`read escape sequence`)
			left.exits(1)

			again.types("exit 7\n")
			again.exits(7)
			if got := d.Berth("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box").OK(t); got != "exited 7" {
				t.Errorf("the container is %s", got)
			}
			// The log of a terminal holds what it showed.
			if log := d.Berth("logs", "box").OK(t); !strings.Contains(log, "again 2\r\n") {
				t.Errorf("log: %q", log)
			}
			onTerminal(t, d, client, "run", "--rm", "-t", image, "sh", "-c", "exit 3").exits(3)
			restart := onTerminal(t, d, client, "start", "-ai", "box")
			restart.types("exit 5\n")
			restart.exits(5)
		})
	}
}

// TestTerminalOutlivesDaemon attaches to a terminal whose daemon was killed.
func TestTerminalOutlivesDaemon(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-dit", "--name", "box", image, "sh").OK(t)
	d.Kill()
	d.Run()
	shell := onTerminal(t, d, harness.BerthCLI(), "attach", "box")
	shell.types("\n")
	shell.expect(`# `)
	shell.resize(91, 17)
	awaitSize(t, d, "box", "17 91")
	shell.types("stty size\n")
	shell.expect(`17 91\r\n`)
	shell.types("exit 4\n")
	shell.exits(4)
}

// awaitSize waits until the terminal of a container has a size.
func awaitSize(t *testing.T, d *harness.Daemon, name, size string) {
	t.Helper()
	await(t, "a terminal of "+size, func() bool {
		return d.Berth("exec", name, "stty", "-F", "/dev/pts/0", "size").Stdout == size+"\n"
	})
}
