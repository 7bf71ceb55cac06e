package harness

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Reboot does to the daemon, its containers and what is not on a disk what a
// machine's end and start does, and runs the daemon again.
func (d *Daemon) Reboot() {
	d.t.Helper()
	var pids []string
	if ids := strings.Fields(d.Berth("ps", "-q").OK(d.t)); len(ids) > 0 {
		pids = strings.Fields(d.Berth(append([]string{"inspect", "-f", "{{.State.Pid}}"}, ids...)...).OK(d.t))
	}
	d.Kill()
	// Shims first: none is to tell anybody of an exit.
	for _, p := range processesOf(d.Root) {
		pid, _, _ := strings.Cut(strings.TrimPrefix(p, "process "), ":")
		pids = slices.Insert(pids, 0, pid)
	}
	for _, p := range pids {
		if pid, err := strconv.Atoi(p); err == nil && pid > 1 {
			killAndWait(pid)
		}
	}
	mounts := mountsBelow(d.Root)
	slices.Reverse(mounts) // those on top first
	for _, m := range mounts {
		_ = unix.Unmount(strings.TrimPrefix(m, "mount "), unix.MNT_DETACH) // seen again below, if it stays
	}
	if left := mountsBelow(d.Root); len(left) > 0 {
		d.t.Fatalf("mounts: %v", left)
	}
	if err := os.RemoveAll(filepath.Join(d.Root, "exec")); err != nil {
		d.t.Fatal(err)
	}
	_ = os.Remove(d.Socket) // a killed daemon's
	d.Run()
}

// killAndWait returns when the process is gone.
func killAndWait(pid int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for poll[0].Revents == 0 {
		if _, err := unix.Poll(poll, int(Patience.Milliseconds())); err != nil && err != unix.EINTR {
			return
		}
	}
}
