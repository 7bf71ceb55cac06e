package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// execs are the commands that were asked to run in containers. They live in
// memory: like dockerd's, they end with their container or the daemon's run;
// the processes themselves do not notice the daemon's end.
type execs struct {
	mu  sync.Mutex // guards all and every exec's state
	all map[string]*exec
}

type exec struct {
	id       string
	unit     *unit
	ask      ctypes.ExecCreateRequest
	state    execState
	exitCode *int
	pid      int
	done     chan struct{} // closed when its exit and its last output are known
}

type execState int

const (
	execCreated execState = iota
	execStarting
	execRunning
	execExited
)

func newExecs() *execs { return &execs{all: map[string]*exec{}} }

func (x *execs) find(id string) (*exec, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ex := x.all[id]; ex != nil {
		return ex, nil
	}
	return nil, errdefs.ErrNotFound.WithMessage("No such exec instance: " + id)
}

// of lists the IDs of a container's execs; nil when it has none, as inspect
// shows it.
func (x *execs) of(container string) (ids []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, ex := range x.all {
		if ex.unit.id == container && ex.state != execExited {
			ids = append(ids, id)
		}
	}
	return ids
}

// begin claims an exec for its one start. Conflict: it was started before.
func (x *execs) begin(ex *exec) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch ex.state {
	case execCreated:
		ex.state = execStarting
		return nil
	case execExited:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("exec command %s has already run", ex.id))
	default:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("exec command %s is already running", ex.id))
	}
}

func (x *execs) started(ex *exec, pid int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ex.state == execStarting { // its exit may have been quicker than us
		ex.state, ex.pid = execRunning, pid
	}
}

// finish notes the end of an exec, once.
func (x *execs) finish(ex *exec, code int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ex.state == execExited {
		return false
	}
	ex.state, ex.exitCode = execExited, &code
	close(ex.done)
	return true
}

// exited handles the end of an exec's process. Owner only. One that we do not
// know was started by an earlier berthd: it is reaped, nobody can ask for it.
func (x *execs) exited(ctx context.Context, e *Engine, u *unit, ev runtime.Event) {
	exit, err := e.Tasks.DeleteExec(ctx, u.id, ev.ExecID) // returns when its output is drained
	if ignoreNotFound(err) != nil {
		e.Logger.Error("exec could not be deleted", "container", u.id, "exec", ev.ExecID, "error", err)
	}
	if err != nil {
		exit = ev.Exit
	}
	ex, err := x.find(ev.ExecID)
	if err != nil {
		return
	}
	if x.finish(ex, exit.Code) {
		e.publish(u, events.ActionExecDie, map[string]string{"execID": ex.id, "exitCode": strconv.Itoa(exit.Code)})
	}
}

// dropAll ends what a container's end ended, and forgets it.
func (x *execs) dropAll(container string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, ex := range x.all {
		if ex.unit.id != container {
			continue
		}
		if ex.state != execExited {
			code := 137
			ex.state, ex.exitCode = execExited, &code
			close(ex.done)
		}
		delete(x.all, id)
	}
}

// ExecCreate prepares a command in a running container.
func (e *Engine) ExecCreate(ctx context.Context, ref string, q ctypes.ExecCreateRequest) (string, error) {
	u, err := e.units.find(ref)
	if err != nil {
		return "", err
	}
	if err := runnable(u); err != nil {
		return "", err
	}
	if len(q.Cmd) == 0 {
		return "", errdefs.ErrInvalidArgument.WithMessage("No exec command specified")
	}
	if _, err := detachKeys(q.DetachKeys); err != nil {
		return "", err
	}
	ex := &exec{id: newID(), unit: u, ask: q, done: make(chan struct{})}
	e.execs.mu.Lock()
	e.execs.all[ex.id] = ex
	e.execs.mu.Unlock()
	e.publish(u, events.Action("exec_create: "+strings.Join(q.Cmd, " ")), map[string]string{"execID": ex.id})
	return ex.id, nil
}

// runnable says why no command can run in a container.
func runnable(u *unit) error {
	switch s := u.status(); {
	case s.State == container.Paused:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is paused, unpause the container before exec", u.id))
	case s.State == container.Restarting:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is restarting, wait until the container is running", u.id))
	case !s.Live():
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", u.id))
	}
	return nil
}
