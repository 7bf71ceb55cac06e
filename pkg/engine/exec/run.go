package exec

import (
	"context"
	"io"
	"time"

	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/moby/moby/api/pkg/stdcopy"
	ctypes "github.com/moby/moby/api/types/container"
)

// patience is how long, after its time limit, a command's end is waited for.
const patience = 10 * time.Second

// Exit codes: of a process that SIGKILL ended, and of one whose end nobody saw, as
// Docker reports it.
const (
	killed = 128 + 9
	lost   = 255
)

// Run executes a command in a running container to its end, and gives its exit
// code; what it prints goes to out. After limit the shim kills it and all that it
// left in its session: context.DeadlineExceeded. When ctx ends the command is left
// to that limit. A frozen container does not die: neither does its command before
// it is thawed.
func (x *Execs) Run(ctx context.Context, u *unit.Unit, command []string, limit time.Duration, out io.Writer) (int, error) {
	ex, err := x.create(u, ctypes.ExecCreateRequest{Cmd: command, AttachStdout: true, AttachStderr: true}, limit)
	if err != nil {
		return 0, err
	}
	if err := x.begin(ex); err != nil {
		return 0, err
	}
	conn, err := x.task(ctx, ex, nil, false)
	if err != nil {
		_ = x.abandon(ctx, ex, err) // ours has its words already
		return 0, err
	}
	defer conn.Close()
	began := time.Now()
	if err := x.launch(ctx, ex); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit+patience)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	_, _ = stdcopy.StdCopy(out, out, conn) // ends with the output, or when it is cut off
	select {
	case <-ex.done:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	code := x.exitCode(ex)
	if code == killed && time.Since(began) >= limit {
		return 0, context.DeadlineExceeded
	}
	return code, nil
}

// exitCode is that of an exec that has ended.
func (x *Execs) exitCode(ex *exec) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return *ex.exitCode
}
