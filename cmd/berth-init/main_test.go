package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "berth-init-test")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "berth-init")
		cmd := exec.Command("go", "build", "-o", binary, ".")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %s", err, out)
			return 1
		}
		return m.Run()
	}())
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args  []string
		group bool
		argv  []string
	}{
		{[]string{"--", "a", "-b"}, false, []string{"a", "-b"}},
		{[]string{"a", "--", "b"}, false, []string{"a", "--", "b"}},
		{[]string{"-g", "--", "-a"}, true, []string{"-a"}},
		{[]string{"-x", "a"}, false, nil},
		{[]string{"--"}, false, nil},
		{nil, false, nil},
	} {
		group, argv, err := parse(c.args)
		if group != c.group || !reflect.DeepEqual(argv, c.argv) || (err == nil) != (c.argv != nil) {
			t.Errorf("%q: %v, %q, %v", c.args, group, argv, err)
		}
	}
}

func status(t *testing.T, err error) int {
	t.Helper()
	var e *exec.ExitError
	if err != nil && !errors.As(err, &e) {
		t.Fatal(err)
	}
	if e == nil {
		return 0
	}
	return e.ExitCode()
}

func TestExitStatus(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("\x00\x01"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		argv []string
		want int
	}{
		{[]string{"true"}, 0},
		{[]string{"sh", "-c", "exit 7"}, 7},
		{[]string{"sh", "-c", "kill -KILL $$"}, 137},
		{[]string{"no-such-command"}, 127},
		{[]string{"/no/such/file"}, 127},
		{[]string{plain}, 126},
		{[]string{garbage}, 126},
		{[]string{dir}, 126},
		{nil, 1},
	} {
		if got := status(t, exec.Command(binary, append([]string{"--"}, c.argv...)...).Run()); got != c.want {
			t.Errorf("%q: %d, want %d", c.argv, got, c.want)
		}
	}
}

// patience bounds every wait; it is a limit, not a measure.
const patience = time.Minute

// start runs berth-init with args and returns after the command said "ready".
func start(t *testing.T, attr *syscall.SysProcAttr, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.SysProcAttr = attr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd, r
}

func TestSignalsAreForwarded(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGPIPE, syscall.SIGWINCH, syscall.Signal(40)} {
		script := fmt.Sprintf(`trap 'exit 42' %d; echo ready; while :; do sleep 0.01; done`, sig)
		cmd, _ := start(t, nil, "--", "bash", "-c", script)
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if got := status(t, cmd.Wait()); got != 42 {
			t.Errorf("%v: status %d", sig, got)
		}
	}
}

func TestUncaughtSignalEndsBoth(t *testing.T) {
	cmd, _ := start(t, nil, "--", "sh", "-c", "echo ready; exec sleep 1000")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if got := status(t, cmd.Wait()); got != 128+15 {
		t.Error(got)
	}
}

func TestGroup(t *testing.T) {
	// The shell waits for its child, which only a signal to the group reaches. The child
	// says that it is there: before, it would have the shell's trap for a moment.
	cmd, _ := start(t, nil, "-g", "--", "bash", "-c", "trap 'wait; exit 5' USR1; sh -c 'echo ready; exec sleep 1000' & wait")
	_ = cmd.Process.Signal(syscall.SIGUSR1)
	if got := status(t, cmd.Wait()); got != 5 {
		t.Error(got)
	}
}

// orphan waits until a process that lost its parent is gone, or another of its number
// has come.
const orphan = `p=$(sh -c 'sleep 0.01234 >/dev/null & echo $!'); while grep -q 0.01234 /proc/$p/cmdline 2>/dev/null || grep -q 'State:.Z' /proc/$p/status 2>/dev/null; do sleep 0.01; done; echo ready`

func TestOrphansAreReaped(t *testing.T) {
	cmd, _ := start(t, nil, "--", "sh", "-c", orphan)
	if got := status(t, cmd.Wait()); got != 0 {
		t.Error(got)
	}
}

func TestAsPID1(t *testing.T) {
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	cmd, r := start(t, attr, "--", "sh", "-c", "mount --make-rprivate / && mount -t proc proc /proc && "+orphan+"; echo $$ $PPID; exit 3")
	line, err := r.ReadString('\n')
	if f := strings.Fields(line); err != nil || len(f) != 2 || f[1] != "1" {
		t.Errorf("%q, %v", line, err)
	}
	if got := status(t, cmd.Wait()); got != 3 {
		t.Error(got)
	}
}

// TestTerminal: the command reads from the terminal, which only its foreground
// may, and the terminal's ^C reaches it.
func TestTerminal(t *testing.T) {
	master, slave := pty(t)
	cmd := exec.Command(binary, "--", "bash", "-c", "trap 'echo caught; exit 9' INT; read x; echo got $x; while :; do sleep 0.01; done")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	r := bufio.NewReader(master)
	for _, step := range []struct{ say, want string }{{"hi\n", "got hi"}, {"\x03", "caught"}} {
		if _, err := io.WriteString(master, step.say); err != nil {
			t.Fatal(err)
		}
		for line := ""; !strings.Contains(line, step.want); {
			var err error
			if line, err = r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := status(t, cmd.Wait()); got != 9 {
		t.Error(got)
	}
}

func pty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}
