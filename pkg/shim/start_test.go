package shim_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/pkg/shim"
)

// executed counts what the monitor executes.
type executed struct {
	runc.ProcessMonitor
	n *int
}

var errExecuted = errors.New("executed")

func (e executed) StartLocked(*exec.Cmd) (chan runc.Exit, error) {
	*e.n++
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
