// Package netns runs functions in network namespaces other than the process's.
// The namespace is a thread's property: sockets that are opened there stay
// there, goroutines that are started there do not.
package netns

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Thread is the calling thread's own network namespace.
const Thread = "/proc/thread-self/ns/net"

// At runs f on a thread that is in the network namespace at path. f must not
// start goroutines that count on it.
func At(path string, f func() error) error {
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening a network namespace: %w", err)
	}
	defer ns.Close()
	return In(ns, f)
}

// In is At for a namespace that is open.
func In(ns *os.File, f func() error) error {
	return OnThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network namespace %s: %w", ns.Name(), err)
		}
		return f()
	})
}

// OnThread runs f, which may change the namespace of its thread, on a thread of
// its own and puts the thread back. A thread that cannot be put back ends with
// its goroutine: the runtime discards a thread that is still locked then.
func OnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// Not the first thread: /proc/self means that one, and it cannot be
			// discarded. While it waits here, f gets another.
			done <- OnThread(f)
			runtime.UnlockOSThread()
			return
		}
		home, err := os.Open(Thread)
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		defer home.Close()
		err = f()
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}
