// Package exec is the commands that are asked to run in containers, besides
// their first process. They live in memory: like dockerd's, they end with their
// container or the daemon's run; the processes themselves do not notice the
// daemon's end.
package exec

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/berth-engine/berth/pkg/cgroups"
	"github.com/berth-engine/berth/pkg/engine/attach"
	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Tasks runs processes in containers. *runtime.Runtime satisfies it.
type Tasks interface {
	Exec(ctx context.Context, id, execID string, p *specs.Process, io runtime.IO) error
	StartExec(ctx context.Context, id, execID string) (pid int, err error)
	DeleteExec(ctx context.Context, id, execID string) (runtime.Exit, error)
	ExecExit(ctx context.Context, id, execID string) (exit runtime.Exit, ended bool, err error)
	Resize(ctx context.Context, id, execID string, width, height uint32) error
}

// Config is what New needs; every field is required.
type Config struct {
	Units  *unit.Registry
	Tasks  Tasks
	Socket func(id string) string // a container's stream socket
	// Process gives the runtime's description of a further process.
	Process func(ctx context.Context, r *container.Record, ask *ctypes.ExecCreateRequest) (*specs.Process, error)
	Events  interface{ Publish(events.Message) }
	Logger  *slog.Logger
}

// Execs owns every exec of the engine.
type Execs struct {
	Config
	mu  sync.Mutex // guards all and every exec's state
	all map[string]*exec
}

type exec struct {
	id       string
	unit     *unit.Unit
	ask      ctypes.ExecCreateRequest
	limit    time.Duration // of its run; 0 has none
	state    execState
	exitCode *int
	pid      int
	ended    time.Time
	launched chan struct{} // closed when containerd has answered to its start
	done     chan struct{} // closed when its exit and its last output are known
}

type execState int

const (
	execCreated execState = iota
	execStarting
	execRunning
	execExited
)

// New has none.
func New(c Config) *Execs { return &Execs{Config: c, all: map[string]*exec{}} }

// find gives an exec that clients may know: not that of a container on its way out.
func (x *Execs) find(id string) (*exec, error) {
	if ex := x.get(id); ex != nil && !ex.unit.Status().Gone() {
		return ex, nil
	}
	return nil, errdefs.ErrNotFound.WithMessage("No such exec instance: " + id)
}

func (x *Execs) get(id string) *exec {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.all[id]
}

// Of lists the IDs of a container's execs; nil when it has none, as inspect
// shows it.
func (x *Execs) Of(container string) (ids []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, ex := range x.all {
		if ex.unit.ID == container && ex.state != execExited {
			ids = append(ids, id)
		}
	}
	return ids
}

// begin claims an exec for its one start. Conflict: it was started before.
func (x *Execs) begin(ex *exec) error {
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

func (x *Execs) started(ex *exec, pid int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ex.state == execStarting { // its exit may have been quicker than us
		ex.state, ex.pid = execRunning, pid
	}
}

// finish notes the end of an exec, once.
func (x *Execs) finish(ex *exec, code int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ex.state == execExited {
		return false
	}
	ex.state, ex.exitCode, ex.ended = execExited, &code, time.Now()
	close(ex.done)
	return true
}

// keepFor is how long the exit code of an exec can be asked for: Docker's is
// between five and ten minutes, too. Health checks by exec would else fill the
// memory of the daemon while their container runs.
const keepFor = 10 * time.Minute

// add makes an exec known, and forgets those that ended long ago.
func (x *Execs) add(ex *exec) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, old := range x.all {
		if old.state == execExited && time.Since(old.ended) > keepFor {
			delete(x.all, id)
		}
	}
	x.all[ex.id] = ex
}

func (x *Execs) remove(ex *exec) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.all, ex.id)
}

// Exited handles the end of an exec's process. Owner only. One that we do not
// know was started by an earlier berthd: it is reaped, nobody can ask for it.
func (x *Execs) Exited(ctx context.Context, u *unit.Unit, ev runtime.Event) {
	ex := x.get(ev.ExecID)
	if ex != nil {
		// containerd looks at a process once more after its start; one that was
		// quick must not be gone by then, or the start is told to have failed.
		select {
		case <-ex.launched:
		case <-ex.done: // abandoned
		}
	}
	exit, err := x.Tasks.DeleteExec(ctx, u.ID, ev.ExecID) // returns when its output is drained
	if err != nil && !errdefs.IsNotFound(err) {
		x.Logger.Error("exec could not be deleted", "container", u.ID, "exec", ev.ExecID, "error", err)
	}
	if err != nil {
		exit = ev.Exit
	}
	if ex == nil {
		return
	}
	if x.finish(ex, exit.Code) {
		x.Events.Publish(u.Event(events.ActionExecDie, map[string]string{"execID": ex.id, "exitCode": strconv.Itoa(exit.Code)}))
	}
}

// Compare ends the execs of a running container whose exits were missed: in a gap of
// containerd's events. Owner only.
func (x *Execs) Compare(ctx context.Context, u *unit.Unit) {
	for id, state := range x.unfinished(u.ID) {
		exit, ended, err := x.Tasks.ExecExit(ctx, u.ID, id)
		switch {
		case errdefs.IsNotFound(err):
			if state != execRunning {
				continue // not there yet
			}
			exit = runtime.Exit{Code: lost, At: time.Now()}
		case err != nil:
			x.Logger.Error("exec cannot be looked at after a gap in the events", "container", u.ID, "exec", id, "error", err)
			continue
		case !ended:
			continue
		}
		x.Exited(ctx, u, runtime.Event{Kind: runtime.KindExit, ID: u.ID, ExecID: id, Exit: exit})
	}
}

// unfinished are a container's execs that have been asked to start, and no exit is
// known of.
func (x *Execs) unfinished(container string) map[string]execState {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := map[string]execState{}
	for id, ex := range x.all {
		if ex.unit.ID == container && (ex.state == execStarting || ex.state == execRunning) {
			all[id] = ex.state
		}
	}
	return all
}

// EndAll ends what a container's end ended, whose exit code can still be asked for,
// and forgets what never began.
func (x *Execs) EndAll(container string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, ex := range x.all {
		if ex.unit.ID != container || ex.state == execExited {
			continue
		}
		if ex.state == execCreated {
			delete(x.all, id)
		}
		code := killed
		ex.state, ex.exitCode, ex.ended = execExited, &code, time.Now()
		close(ex.done)
	}
}

// ExecCreate prepares a command in a running container.
func (x *Execs) ExecCreate(ctx context.Context, ref string, q ctypes.ExecCreateRequest) (string, error) {
	u, err := x.Units.Find(ref)
	if err != nil {
		return "", err
	}
	if err := runnable(u); err != nil {
		return "", err
	}
	if len(q.Cmd) == 0 {
		return "", errdefs.ErrInvalidArgument.WithMessage("No exec command specified")
	}
	if _, err := attach.Keys(q.DetachKeys, q.Tty); err != nil {
		return "", err
	}
	if q.User != "" { // asked now: a stream could not say so
		if _, err := x.Process(ctx, u.View().Record, &q); err != nil {
			return "", err
		}
	}
	ex, err := x.create(u, q, 0)
	if err != nil {
		return "", err
	}
	return ex.id, nil
}

// create makes an exec known, and says so.
func (x *Execs) create(u *unit.Unit, q ctypes.ExecCreateRequest, limit time.Duration) (*exec, error) {
	ex := &exec{id: container.NewID(), unit: u, ask: q, limit: limit, launched: make(chan struct{}), done: make(chan struct{})}
	x.add(ex)
	// It is started soon.
	cgroups.HastenAttach()
	if err := runnable(u); err != nil { // it ended meanwhile, and its execs were dropped before
		x.remove(ex)
		return nil, err
	}
	x.Events.Publish(u.Event(events.Action("exec_create: "+strings.Join(q.Cmd, " ")), map[string]string{"execID": ex.id}))
	return ex, nil
}

// runnable says why no command can run in a container.
func runnable(u *unit.Unit) error {
	switch s := u.Status(); {
	case s.State == container.Paused:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is paused, unpause the container before exec", u.ID))
	case s.State == container.Restarting:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is restarting, wait until the container is running", u.ID))
	case !s.Live():
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", u.ID))
	}
	return nil
}
