// Package timerslack says by how much the kernel may delay the timers of threads
// (PR_SET_TIMERSLACK(2const), proc_pid_timerslack_ns(5)). Threads and processes have it
// of the thread that started them, execve(2) keeps it.
//
// It matters because Go's runtime has a thread that looks after the others every 20
// microseconds while there is work. In a process that lives for milliseconds, of which a
// start needs several, it is a third of the changes from thread to thread.
package timerslack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Patient is for processes that nobody talks to by timers.
const Patient = 5 * time.Millisecond

// Get is the calling thread's.
func Get() (time.Duration, error) {
	ns, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	return time.Duration(ns), err
}

// Set changes that of all threads that the process has. For threads other than the
// calling one it takes CAP_SYS_NICE.
func Set(pid int, d time.Duration) error {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	value := strconv.AppendInt(nil, d.Nanoseconds(), 10)
	for _, t := range threads {
		// A thread has the file only under its own number, which lists do not show.
		err := os.WriteFile("/proc/"+t.Name()+"/timerslack_ns", value, 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) { // it ended
			return err
		}
	}
	return nil
}

// During calls f while the calling thread has d: so have the processes that f starts.
func During(d time.Duration, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := Get()
	if err == nil {
		err = set(d)
	}
	if err != nil {
		return err
	}
	defer func() { _ = set(before) }() // as before, which was possible
	return f()
}

func set(d time.Duration) error {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(d.Nanoseconds()), 0, 0, 0)
}
