package shim

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/emptypb"
)

// comingUp is the longest that a signal waits for a process that has just been started.
const comingUp = time.Second

// Kill sends a signal once the container's process can have it. Start returns a moment
// before the runtime's process becomes the container's, which the signal would end; and
// the kernel drops what PID 1 has no handler for, as --init's has none at first.
func (s *Service) Kill(ctx context.Context, r *taskapi.KillRequest) (*emptypb.Empty, error) {
	if c := s.container(r.ID); c != nil && r.ExecID == "" && unix.Signal(r.Signal) != unix.SIGKILL {
		c.awaitUp(ctx)
	}
	resp, err := s.TTRPCTaskService.Kill(ctx, r)
	if r.ExecID == "" && refused(err) {
		if err = s.signalSelf(ctx, r, err); err == nil {
			resp = &emptypb.Empty{}
		}
	}
	return resp, err
}

// awaitUp returns when the process can have signals, or has had its time. Nothing tells
// of what it waits for, which takes some milliseconds.
func (c *container) awaitUp(ctx context.Context) {
	c.mu.Lock()
	pid := c.starting
	c.mu.Unlock()
	if pid == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, comingUp)
	defer cancel()
	for ctx.Err() == nil && !up(pid) {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
		}
	}
	c.mu.Lock()
	c.starting = 0
	c.mu.Unlock()
}

// up says whether a process is the container's own and takes signals.
func up(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err != nil || receptive(string(status)) // else it is gone
}

// receptive says so of its status, proc_pid_status(5). The runtime's process is called
// runc:[2:INIT]. The init is called docker-init, whichever program it is. One of Go,
// whose runtime catches SIGTERM before the program does, and blocks everything for
// moments, is ready when it catches SIGCONT, too; one that waits for signals that it
// blocks, as tini does, never catches any.
func receptive(status string) bool {
	var name string
	var caught, blocked uint64
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); key {
		case "Name":
			name = value
		case "SigCgt":
			caught, _ = strconv.ParseUint(value, 16, 64)
		case "SigBlk":
			blocked, _ = strconv.ParseUint(value, 16, 64)
		}
	}
	switch {
	case strings.HasPrefix(name, "runc:["):
		return false
	case name == "docker-init":
		const term, cont = 1 << (unix.SIGTERM - 1), 1 << (unix.SIGCONT - 1)
		return caught&cont != 0 || caught&term == 0 && blocked&term != 0
	}
	return true
}
