// Package bridge makes the kernel objects of bridged networks: pinned network
// namespaces, bridges, and the veth pairs that join the two. It speaks netlink
// only and starts no process.
package bridge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/berth-engine/berth/pkg/net/netns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

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
	err = netns.OnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("making a network namespace: %w", err)
		}
		if err := unix.Mount(netns.Thread, path, "", unix.MS_BIND, ""); err != nil {
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

// IsNetNS says whether a namespace is pinned at path.
func IsNetNS(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

func loopbackUp() error {
	// Always index 1: the kernel registers it first in each namespace.
	if err := netlink.LinkSetUp(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: 1}}); err != nil {
		return fmt.Errorf("setting lo up: %w", err)
	}
	return nil
}

// LoopbackUp sets lo up in the network namespace at path.
func LoopbackUp(path string) error { return netns.At(path, loopbackUp) }
