package spec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func shmOptions(size int64) []string {
	if size <= 0 {
		size = defaultShmSize
	}
	return []string{"nosuid", "noexec", "nodev", "mode=1777", fmt.Sprintf("size=%d", size)}
}

// MountShm mounts a container's shareable /dev/shm in its folder and returns
// the path for Input.Shm. size is in bytes. One that is mounted stays: other
// containers may be using it.
func MountShm(dir string, size int64) (string, error) {
	target := filepath.Join(dir, "shm")
	if err := os.Mkdir(target, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	mounted, err := isMountpoint(target)
	if err != nil || mounted {
		return target, err
	}
	if size <= 0 {
		size = defaultShmSize
	}
	if err := unix.Mount("shm", target, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_NODEV, fmt.Sprintf("mode=1777,size=%d", size)); err != nil {
		return "", fmt.Errorf("mounting shm tmpfs on %s: %w", target, err)
	}
	return target, nil
}

// UnmountShm undoes MountShm; that nothing is there is no error.
func UnmountShm(dir string) error {
	target := filepath.Join(dir, "shm")
	err := unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("unmounting %s: %w", target, err)
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func isMountpoint(p string) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, p, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st); err != nil {
		return false, &os.PathError{Op: "statx", Path: p, Err: err}
	}
	if st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return false, fmt.Errorf("statx on %s: the kernel does not tell mount points (5.8 or newer is needed)", p)
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}
