// Package cgroups takes away the cgroups of containers that no OCI runtime takes away,
// with the processes in them, and gets the kernel ready for the moves that runtimes make.
package cgroups

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// patience is how long processes that were killed may take to leave a cgroup.
const patience = 2 * time.Second

// Hierarchies returns where cgroup hierarchies are mounted, of either version.
func Hierarchies() ([]string, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, err
	}
	dirs := make([]string, len(mounts))
	for i, m := range mounts {
		dirs[i] = m.Mountpoint
	}
	return dirs, nil
}

// PathOf reads the cgroupsPath of an OCI specification, as JSON; "" without one.
func PathOf(spec []byte) (string, error) {
	var s struct {
		Linux struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	}
	err := json.Unmarshal(spec, &s)
	return s.Linux.CgroupsPath, err
}

// Remove kills what is in the cgroup path, and in those below it, and removes them in each
// hierarchy. path is the cgroupsPath of an OCI specification; "" and a unit of
// systemd's ("slice:prefix:name"), which goes with its last process, are left alone.
func Remove(ctx context.Context, hierarchies []string, path string) (err error) {
	for _, dir := range in(hierarchies, path) {
		err = errors.Join(err, removeTree(ctx, dir))
	}
	return err
}

// in gives the folders of a cgroupsPath, none if it is to be left alone.
func in(hierarchies []string, path string) (dirs []string) {
	path = filepath.Clean("/" + path)
	if path == "/" || strings.Contains(path, ":") {
		return nil
	}
	for _, dir := range hierarchies {
		dirs = append(dirs, filepath.Join(dir, path))
	}
	return dirs
}

// Kill kills what is in the cgroup path, and in those below it; frozen ones are thawed,
// for version 1 gives a frozen process no signal.
func Kill(hierarchies []string, path string) {
	for _, dir := range in(hierarchies, path) {
		for _, group := range tree(dir) {
			kill(group)
		}
	}
}

// Thaw lets go on what is frozen in the cgroup path, and in those below it.
func Thaw(hierarchies []string, path string) {
	for _, dir := range in(hierarchies, path) {
		for _, group := range tree(dir) {
			thaw(group)
		}
	}
}

// removeTree removes the lowest first.
func removeTree(ctx context.Context, dir string) error {
	all := tree(dir)
	for _, group := range slices.Backward(all) {
		if err := remove(ctx, group); err != nil {
			return err
		}
	}
	return nil
}

// tree lists a cgroup and those below it, parents first.
func tree(dir string) (all []string) {
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			all = append(all, path)
		}
		return nil // what is gone meanwhile is what is wanted
	})
	return all
}

// remove waits for the processes that it kills: they leave a cgroup some time after
// their end, and nothing tells.
func remove(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			return err
		}
		kill(dir)
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// kill sends SIGKILL to what is in one cgroup, and thaws it.
func kill(dir string) {
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return // it is gone, or a cgroup of threads, whose processes are in one above
	}
	for _, line := range strings.Fields(string(procs)) {
		if pid, err := strconv.Atoi(line); err == nil && pid > 0 { // 0: of another PID namespace
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
	thaw(dir)
}

// thaw writes to files that only some hierarchies have.
func thaw(dir string) {
	for file, thawed := range map[string]string{"freezer.state": "THAWED", "cgroup.freeze": "0"} {
		f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
		if err != nil {
			continue
		}
		_, _ = f.WriteString(thawed)
		_ = f.Close()
	}
}
