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

// Patient is for threads that no other waits for.
const Patient = 5 * time.Millisecond

// Get is the calling thread's.
func Get() (time.Duration, error) {
	ns, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	return time.Duration(ns), err
}

// Set changes that of all threads that the process has. For threads other than the
// calling one it takes CAP_SYS_NICE.
func Set(pid int, d time.Duration) error {
	threads, err := threadsOf(pid)
	if err != nil {
		return err
	}
	for _, id := range threads {
		if err := setThread(id, d); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ESRCH) { // it ended
			return err
		}
	}
	return nil
}

// SetMonitor changes that of the thread of this process that looks after the others. They
// keep theirs: one that looks for work sleeps 3 microseconds before it takes it from
// another (runqgrab in runtime/proc.go), and the work waits for that. A thread that this one
// starts has it as well: who starts processes says which they have (During). It takes
// CAP_SYS_NICE.
func SetMonitor(d time.Duration) error {
	threads, err := threadsOf(os.Getpid())
	if err != nil {
		return err
	}
	if len(threads) < 2 {
		return errors.New("Go's runtime has no thread that looks after the others")
	}
	return setThread(threads[1], d) // the first that is started (runtime.main)
}

// threadsOf gives their numbers, in the order in which they were started.
func threadsOf(pid int) ([]string, error) {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Readdirnames(-1)
}

// A thread has the file only under its own number, which lists do not show.
func setThread(id string, d time.Duration) error {
	return os.WriteFile("/proc/"+id+"/timerslack_ns", strconv.AppendInt(nil, d.Nanoseconds(), 10), 0)
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
