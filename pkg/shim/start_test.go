package shim_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/pkg/shim"
	"github.com/berth-engine/berth/pkg/timerslack"
)

// executed counts what the monitor executes.
type executed struct {
	runc.ProcessMonitor
	n     *int
	slack *time.Duration // what the thread has that executes
}

var errExecuted = errors.New("executed")

func (e executed) StartLocked(*exec.Cmd) (chan runc.Exit, error) {
	*e.n++
	if e.slack != nil {
		*e.slack, _ = timerslack.Get()
	}
	return nil, errExecuted
}

// waiting is a container whose process, a shell, waits for its start as runc's does.
func waiting(t *testing.T, script string) (cmd *exec.Cmd, fifo string) {
	t.Helper()
	dir := t.TempDir()
	bundle, state := filepath.Join(dir, "bundle"), filepath.Join(dir, "root", "c1")
	if err := errors.Join(os.MkdirAll(bundle, 0o700), os.MkdirAll(state, 0o700)); err != nil {
		t.Fatal(err)
	}
	fifo = filepath.Join(state, "exec.fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.Command("sh", "-c", script, "sh", fifo)
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	if err := os.WriteFile(filepath.Join(bundle, "init.pid"), []byte(strconv.Itoa(process.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	return exec.Command("/x/runc", "--root", filepath.Join(dir, "root"), "--log", filepath.Join(bundle, "log.json"), "--log-format", "json", "start", "c1"), fifo
}

// TestStartWithoutRunc: the process goes on without runc's start, also when it ends at
// once; whatever is not as expected is executed.
func TestStartWithoutRunc(t *testing.T) {
	for name, tt := range map[string]struct {
		script   string
		runtime  string
		change   func(cmd *exec.Cmd, fifo string)
		executed bool
	}{
		"waits":           {script: `printf 0 >"$1"; exec sleep 1000`},
		"ends at once":    {script: `printf 0 >"$1"`},
		"ends before":     {script: `exit 1`, executed: true},
		"says nothing":    {script: `: >"$1"; exec sleep 1000`, executed: true},
		"another runtime": {script: `exec sleep 1000`, runtime: "/x/crun", executed: true},
		"another command": {script: `exec sleep 1000`, change: func(cmd *exec.Cmd, _ string) { cmd.Args[len(cmd.Args)-2] = "delete" }, executed: true},
		"no root":         {script: `exec sleep 1000`, change: func(cmd *exec.Cmd, _ string) { cmd.Args[1] = "--other" }, executed: true},
		"no FIFO":         {script: `exec sleep 1000`, change: func(_ *exec.Cmd, fifo string) { _ = os.Remove(fifo) }, executed: true},
		"no process": {script: `exec sleep 1000`, change: func(cmd *exec.Cmd, _ string) {
			_ = os.Remove(filepath.Join(filepath.Dir(cmd.Args[4]), "init.pid"))
		}, executed: true},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, fifo := waiting(t, tt.script)
			if tt.change != nil {
				tt.change(cmd, fifo)
			}
			n, runtime := 0, tt.runtime
			if runtime == "" {
				runtime = cmd.Path
			}
			m := shim.NewMonitor(executed{n: &n}, runtime)
			ec, err := m.StartLocked(cmd)
			if tt.executed {
				if n != 1 || !errors.Is(err, errExecuted) {
					t.Errorf("%d executed, %v", n, err)
				}
				return
			}
			if n != 0 || err != nil {
				t.Fatalf("%d executed, %v", n, err)
			}
			if status, err := m.Wait(cmd, ec); status != 0 || err != nil {
				t.Error(status, err)
			}
			if _, err := os.Lstat(fifo); !errors.Is(err, os.ErrNotExist) {
				t.Error("the FIFO, which says that it was not started, is still there:", err)
			}
		})
	}
}

// usualSlack is the test's, which it has again at its end.
func usualSlack(t *testing.T) time.Duration {
	t.Helper()
	usual, err := timerslack.Get()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := timerslack.Set(os.Getpid(), usual); err != nil {
			t.Error(err)
		}
	})
	return usual
}

// TestSlack: what runs before the program is patient, other commands are not.
func TestSlack(t *testing.T) {
	usual := usualSlack(t)
	var n int
	var got time.Duration
	m := shim.NewMonitor(executed{n: &n, slack: &got}, "/x/runc")
	for _, c := range []struct {
		path, verb, id string
		want           time.Duration
	}{
		{"/x/runc", "create", "c1", timerslack.Patient},
		{"/x/runc", "delete", "c1", timerslack.Patient},
		{"/x/runc", "kill", "c1", timerslack.Patient},
		{"/x/runc", "exec", "c1", usual},
		{"/x/runc", "exec", "create", usual},
		{"/x/runc", "restore", "c1", usual},
		{"/x/runc", "start", "c1", usual},
		{"/x/runc", "", "", usual},
		{"/x/crun", "create", "c1", usual},
	} {
		cmd := exec.Command(c.path, "--root", "create", "--debug", "--log", "create", "--log-format", "json", c.verb, c.id)
		if c.verb == "" {
			cmd.Args = cmd.Args[:3]
		}
		for _, thread := range []time.Duration{usual, timerslack.Patient} { // one that the patient thread started has its
			if err := timerslack.During(thread, func() error {
				_, err := m.StartLocked(cmd)
				return err
			}); !errors.Is(err, errExecuted) {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("%q by a thread with %v: %v, want %v", cmd.Args, thread, got, c.want)
			}
		}
	}
}

// TestSlackOfPrograms: a program does not have what was before it.
func TestSlackOfPrograms(t *testing.T) {
	usual := usualSlack(t)
	m := shim.NewMonitor(executed{n: new(int)}, "/x/runc")
	var cmd *exec.Cmd
	var fifo string
	if err := timerslack.During(timerslack.Patient, func() error {
		cmd, fifo = waiting(t, `printf 0 >"$1"; cat /proc/$$/timerslack_ns >"$1.after"`)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(fifo+".after", 0o600); err != nil {
		t.Fatal(err)
	}
	pid, err := os.ReadFile(filepath.Join(filepath.Dir(cmd.Args[4]), "init.pid"))
	if err != nil {
		t.Fatal(err)
	}
	expect := func(path string, want time.Duration) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(b)) != strconv.FormatInt(want.Nanoseconds(), 10) {
			t.Errorf("%s, %v, want %v", b, err, want)
		}
	}
	expect("/proc/"+string(pid)+"/timerslack_ns", timerslack.Patient)
	if _, err := m.StartLocked(cmd); err != nil {
		t.Fatal(err)
	}
	expect(fifo+".after", usual)
}
