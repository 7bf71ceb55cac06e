package shim

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	upstream "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/process"
	"github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/pkg/timerslack"
)

// Monitor runs the OCI runtime for upstream's service, all but `start` of the runc that
// is installed beside this shim. That command does no more than open the FIFO that the
// container's process waits at, which this process can do itself: one execution of runc
// less at each start. Whatever is not as expected is left to the command, which then
// also says what is wrong.
//
// The FIFO is opened by runc alone and is no interface of it: other runtimes, and a runc
// of another installation, are executed.
//
// What that runc does before the container's program has its timers delayed
// (pkg/timerslack), and so has the thread that looks after this process's others; the
// program has them as they were.
type Monitor struct {
	runc.ProcessMonitor // upstream's
	runtime             string
	done                chan runc.Exit // of a start that needed no process
	usual               time.Duration  // the slack of programs, 0 if it is not known
	patient             bool           // whether another process's slack can be changed
}

// NewMonitor wraps upstream's monitor. runtime is the path of the runc to know.
func NewMonitor(upstream runc.ProcessMonitor, runtime string) *Monitor {
	m := &Monitor{ProcessMonitor: upstream, runtime: runtime, done: make(chan runc.Exit)}
	if usual, err := timerslack.Get(); err == nil {
		m.usual, m.patient = usual, timerslack.SetMonitor(timerslack.Patient) == nil
	}
	return m
}

// StartLocked starts the command, or does what it is for. It is what upstream calls
// for all of the runtime's commands.
func (m *Monitor) StartLocked(cmd *exec.Cmd) (chan runc.Exit, error) {
	known := cmd.Path == m.runtime
	if known {
		if c, ok := startOf(cmd.Args); ok && m.release(c) == nil {
			return m.done, nil
		}
	}
	if m.usual == 0 {
		return m.ProcessMonitor.StartLocked(cmd)
	}
	slack := m.usual // said in any case: a thread that the patient one has started is as it is
	if m.patient && known && beforeProgram(cmd.Args) {
		slack = timerslack.Patient
	}
	var ec chan runc.Exit
	err := timerslack.During(slack, func() (err error) {
		ec, err = m.ProcessMonitor.StartLocked(cmd)
		return err
	})
	return ec, err
}

// release lets the container's process go on to the program.
func (m *Monitor) release(c created) error {
	pid, err := runc.ReadPidFile(c.pid)
	if err != nil {
		return err
	}
	if m.patient {
		if err := timerslack.Set(pid, m.usual); err != nil {
			return err
		}
	}
	return c.release(pid)
}

// beforeProgram reports whether a command line of go-runc is of a command that ends, with
// all processes that it starts, before a program of the container runs, or that starts
// none.
func beforeProgram(args []string) bool {
	for i := 1; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--root", arg == "--log", arg == "--log-format":
			i++ // its value
		case !strings.HasPrefix(arg, "-"):
			return arg == "create" || arg == "delete" || arg == "kill"
		}
	}
	return false
}

// Wait waits for the end of what Start started.
func (m *Monitor) Wait(cmd *exec.Cmd, ec chan runc.Exit) (int, error) {
	if ec == m.done {
		return 0, nil
	}
	return m.ProcessMonitor.Wait(cmd, ec)
}

// created is a container that waits for its start.
type created struct {
	fifo string
	pid  string // the file with its process's number
}

// startOf says which container a command line of go-runc starts.
func startOf(args []string) (c created, ok bool) {
	n := len(args)
	if n < 2 || args[n-2] != "start" {
		return created{}, false
	}
	for i := 1; i < n-2; i++ {
		switch args[i] {
		case "--root":
			c.fifo = filepath.Join(args[i+1], args[n-1], "exec.fifo")
		case "--log": // in the bundle
			c.pid = filepath.Join(filepath.Dir(args[i+1]), upstream.InitPidFile)
		}
	}
	return c, c.fifo != "" && c.pid != ""
}

var errNotReleased = errors.New("the process did not take its start")

// release lets process pid go on to the program, by the open end for reading that its own
// open waits for, and returns when it has said so.
func (c created) release(pid int) error {
	alive, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(alive)
	// Not blocking: there is no writer yet, and there may never be one.
	fifo, err := unix.Open(c.fifo, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fifo)
	fds := []unix.PollFd{{Fd: int32(fifo), Events: unix.POLLIN}, {Fd: int32(alive), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, -1); err == nil {
			break
		} else if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	var b [1]byte
	if n, _ := unix.Read(fifo, b[:]); n < 1 { // it ended before
		return errNotReleased
	}
	_ = os.Remove(c.fifo) // which says created for running; the container's delete takes it else
	return nil
}
