package shim

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// limit has the process killed after the time that it was given. The shim does it,
// not the daemon, which may be dead by then.
func (p *process) limit(pid int) {
	if p.cfg.Limit <= 0 || pid <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.killer = time.AfterFunc(p.cfg.Limit, func() { killSession(pid) })
	}
}

// release lifts the limit: the process is gone.
func (p *process) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.killer != nil {
		p.killer.Stop()
	}
}

// killSession kills a process that runc executed in a container, and what it left
// running: runc makes it the leader of a session (setsid(2)), whose ID the kernel
// gives to nobody else while a member lives. The leader goes first, so that a shell
// begins nothing new.
func killSession(leader int) {
	killMember(leader, leader)
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != leader {
			killMember(pid, leader)
		}
	}
}

// killMember kills pid if it is of the session. The descriptor stands for the very
// process that is looked at.
func killMember(pid, session int) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return // gone
	}
	defer unix.Close(fd)
	if sessionOf(pid) == session {
		_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // it may be gone, too
	}
}

// sessionOf is field 6 of proc_pid_stat(5); 0 when there is no such process.
func sessionOf(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The command's name, in parentheses, may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 4 {
		return 0
	}
	session, _ := strconv.Atoi(fields[3])
	return session
}
