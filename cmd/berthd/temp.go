package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// tempDir is dockerd's place for such files. What a killed daemon leaves in it,
// mounts of layers and secrets of builds among it, is found and ended at the next
// start; in /tmp nobody could tell whose it is.
func tempDir(dataRoot string) string { return filepath.Join(dataRoot, "tmp") }

// useTemp makes dir the place for what berthd keeps for a moment, and for what it
// embeds. containerd, which has its own variable for that, is told.
func useTemp(dir string) error {
	if err := emptyTemp(dir); err != nil {
		return err
	}
	return errors.Join(os.Setenv("TMPDIR", dir), mount.SetTempMountLocation(dir))
}

// emptyTemp makes the folder, or empties it. The data root must be locked.
func emptyTemp(dir string) error {
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o700)); err != nil {
		return err
	}
	if err := unmountBelow(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// unmountBelow ends all mounts below a folder, and says which stays.
func unmountBelow(dir string) error {
	// The kernel lists real paths.
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range slices.Backward(mounts) { // the last made first: it may be on top of another
		if m.Mountpoint == dir {
			continue // the administrator's
		}
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			errs = append(errs, fmt.Errorf("unmounting %s: %w", m.Mountpoint, err))
		}
	}
	return errors.Join(errs...)
}
