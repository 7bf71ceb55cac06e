// Package bridge makes the kernel objects of bridged networks: pinned network
// namespaces, bridges, and the veth pairs that join the two. It speaks netlink
// only and starts no process.
package bridge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// threadNS is the calling thread's own network namespace.
const threadNS = "/proc/thread-self/ns/net"

// CreateNetNS makes a network namespace with its loopback up and pins it at
// path by a bind mount, so that it needs no process. The folder of path must
// exist.
func CreateNetNS(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDONLY|unix.O_CLOEXEC, 0o444)
	if err != nil {
		return fmt.Errorf("pinning a network namespace: %w", err)
	}
	if err := f.Close(); err != nil {
		return err
	}
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
		if err := unix.Mount(threadNS, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("pinning a network namespace at %s: %w", path, err)
		}
		return loopbackUp()
	})
	if err != nil {
		return errors.Join(err, DeleteNetNS(path))
	}
	return nil
}

// DeleteNetNS removes the pin. The namespace itself goes when its last process
// does; what is to be gone at once must be deleted before. Absent is no error.
func DeleteNetNS(path string) error {
	// EINVAL: a plain file, left where a crash came between file and mount.
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unpinning %s: %w", path, err)
	}
	// Unlinking also takes the pin out of mount namespaces that copied it.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// InNetNS runs f on a thread that is in the network namespace at path. f must
// not start goroutines that count on it.
func InNetNS(path string, f func() error) error {
	target, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening a network namespace: %w", err)
	}
	defer target.Close()
	return onThread(func() error {
		if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network namespace %s: %w", path, err)
		}
		return f()
	})
}

// onThread runs f, which may change the namespace of its thread, on a thread of
// its own and puts the thread back. A thread that cannot be put back ends with
// its goroutine: the runtime discards a thread that is still locked then.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// Not the first thread: /proc/self means that one, and it cannot be
			// discarded. While it waits here, f gets another.
			done <- onThread(f)
			runtime.UnlockOSThread()
			return
		}
		home, err := os.Open(threadNS)
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

func loopbackUp() error {
	// Always index 1: the kernel registers it first in each namespace.
	if err := netlink.LinkSetUp(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: 1}}); err != nil {
		return fmt.Errorf("setting lo up: %w", err)
	}
	return nil
}

// LoopbackUp sets lo up in the network namespace at path.
func LoopbackUp(path string) error { return InNetNS(path, loopbackUp) }
