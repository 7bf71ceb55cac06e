package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// inUse is the error for a store whose lock another process has.
func inUse(path string) error {
	by := ""
	if pid := lockHolder(path); pid > 0 {
		by = fmt.Sprintf(" (pid %d)", pid)
	}
	return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf(
		"another berthd%s is using %s: stop it, or give this one a --data-root of its own", by, filepath.Dir(path)))
}

// lockHolder finds the process that holds path's flock, 0 when it cannot be
// told (proc(5), /proc/locks; a holder in another PID namespace is not seen).
func lockHolder(path string) int {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	return parseLocks(locks, file)
}

// parseLocks returns the holder of the flock on file, "major:minor:inode".
// A line is "1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF"; one of a waiter
// has "->" after the number.
func parseLocks(locks []byte, file string) int {
	for line := range bytes.Lines(locks) {
		f := bytes.Fields(line)
		if len(f) < 6 || string(f[1]) != "FLOCK" || string(f[5]) != file {
			continue
		}
		if pid, err := strconv.Atoi(string(f[4])); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}
