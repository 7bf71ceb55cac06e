// Package shim is what Berth adds to upstream's runc shim: it owns the streams of
// the container's processes. Their output goes to the log and to clients of the
// container's socket, and goes on doing so while the daemon and containerd are
// dead; neither a slow client nor a full disk stops the container. Streams that
// are no berth: URI are left to upstream.
//
// Upstream's service is wrapped, not changed: it copies between the runtime's
// pipes and pipes of ours, which it opens by their names in /proc.
package shim

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/berth-engine/berth/pkg/cgroups"
	"github.com/berth-engine/berth/pkg/logs"
	"github.com/berth-engine/berth/pkg/shim/launch"
	"github.com/berth-engine/berth/pkg/streams"
)

// drainBound is how long the end of a process's output is waited for once the
// process is gone; a child that it left behind may hold it for ever. Docker waits
// as long. https://github.com/moby/moby/issues/40053
const drainBound = 2 * time.Second

// patience is how long a client may take nothing before the shim ends without it.
const patience = 10 * time.Second

// Service is upstream's task service with streams of ours.
type Service struct {
	taskapi.TTRPCTaskService // upstream's
	retire, end              func()
	flushes                  *flushes

	mu         sync.Mutex            // guards the following
	tasks      map[string]struct{}   // every task created and not deleted, whatever its streams
	containers map[string]*container // those with streams of ours
	orphaned   bool                  // upstream keeps a task that is deleted, and would not end
}

// New wraps upstream's service. retire is called when the last task is deleted and
// the shim is told to end, before that is answered; end has the shim end.
func New(upstream taskapi.TTRPCTaskService, retire, end func()) *Service {
	return &Service{
		TTRPCTaskService: upstream,
		retire:           retire,
		end:              end,
		flushes:          newFlushes(),
		tasks:            map[string]struct{}{},
		containers:       map[string]*container{},
	}
}

// RegisterTTRPC makes the service a plugin that serves.
func (s *Service) RegisterTTRPC(server *ttrpc.Server) error {
	taskapi.RegisterTTRPCTaskService(server, s)
	return nil
}

// Close ends all streams; it waits for clients that still take their output, and
// for ctx at the longest.
func (s *Service) Close(ctx context.Context) {
	s.mu.Lock()
	all := s.containers
	s.containers = map[string]*container{}
	s.mu.Unlock()
	for _, c := range all {
		c.close(0)
	}
	s.flushes.wait(ctx, patience)
}

// Create makes the container with streams of ours.
func (s *Service) Create(ctx context.Context, r *taskapi.CreateTaskRequest) (*taskapi.CreateTaskResponse, error) {
	defer cgroups.HastenAttach()()
	cfg, ours, err := streams.ParseURI(r.Stdout)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	if !ours {
		resp, err := s.TTRPCTaskService.Create(ctx, r)
		if err == nil {
			s.mu.Lock()
			s.tasks[r.ID] = struct{}{}
			s.mu.Unlock()
		}
		return resp, err
	}
	cfg.ID, cfg.Exec, cfg.Tty = r.ID, "", r.Terminal
	c, p, err := s.prepare(cfg, r.Bundle)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	r.Stdin, r.Stdout, r.Stderr = p.paths()
	answering := make(chan error, 1) // beside the runtime, which takes longer
	go func() { answering <- c.answer(cfg.Names) }()
	resp, err := s.TTRPCTaskService.Create(ctx, r)
	if r.Checkpoint == "" { // else upstream opens them in Start
		p.opened()
	}
	if nameErr := <-answering; err == nil && nameErr != nil {
		err = errgrpc.ToGRPC(nameErr)
		_, _ = s.TTRPCTaskService.Delete(ctx, &taskapi.DeleteRequest{ID: r.ID}) // containerd calls the shim's delete action as well
	}
	if err != nil {
		s.drop(r.ID)
		c.close(drainBound)
		return nil, err
	}
	return resp, nil
}

// prepare makes the streams of a container's init process.
func (s *Service) prepare(cfg streams.Config, bundle string) (*container, *process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.tasks[cfg.ID]; ok {
		return nil, nil, fmt.Errorf("task %s: %w", cfg.ID, errdefs.ErrAlreadyExists)
	}
	log, err := logs.Open(cfg.Log)
	if err != nil {
		return nil, nil, fmt.Errorf("failed to initialize logging driver: %w", err)
	}
	c, err := newContainer(cfg, bundle, s.flushes)
	if err != nil {
		_ = log.Close()
		return nil, nil, err
	}
	p, err := newProcess(cfg, log, c.buffer, s.closeUpstreamIO(cfg.ID, ""))
	if err != nil {
		_ = log.Close()
		c.close(0)
		return nil, nil, err
	}
	if err := c.add(p); err != nil {
		return nil, nil, err
	}
	s.tasks[cfg.ID], s.containers[cfg.ID] = struct{}{}, c
	return c, p, nil
}

// closeUpstreamIO closes the end of stdin that upstream's service holds itself.
func (s *Service) closeUpstreamIO(id, exec string) func() {
	return func() {
		// It fails when the process is gone, and then there is nothing to close.
		_, _ = s.TTRPCTaskService.CloseIO(context.Background(), &taskapi.CloseIORequest{ID: id, ExecID: exec, Stdin: true})
	}
}

func (s *Service) drop(id string) *container {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.containers[id]
	delete(s.tasks, id)
	delete(s.containers, id)
	return c
}

func (s *Service) container(id string) *container {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.containers[id]
}

// process is the streams of a process, nil when they are not ours.
func (s *Service) process(id, exec string) *process {
	if c := s.container(id); c != nil {
		return c.process(exec)
	}
	return nil
}

// Exec makes a process with streams of ours in a container that has such.
func (s *Service) Exec(ctx context.Context, r *taskapi.ExecProcessRequest) (*emptypb.Empty, error) {
	cfg, ours, err := streams.ParseURI(r.Stdout)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	if !ours {
		return s.TTRPCTaskService.Exec(ctx, r)
	}
	c := s.container(r.ID)
	if c == nil {
		return nil, errgrpc.ToGRPC(fmt.Errorf("container %s has no stream socket: %w", r.ID, errdefs.ErrFailedPrecondition))
	}
	cfg.ID, cfg.Exec, cfg.Tty = r.ID, r.ExecID, r.Terminal
	log, err := logs.Open(streams.Log{})
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	p, err := newProcess(cfg, log, c.buffer, s.closeUpstreamIO(r.ID, r.ExecID))
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	if err := c.add(p); err != nil {
		p.closePipes()
		return nil, errgrpc.ToGRPC(err)
	}
	r.Stdin, r.Stdout, r.Stderr = p.paths()
	resp, err := s.TTRPCTaskService.Exec(ctx, r)
	if err != nil {
		c.remove(r.ExecID, drainBound)
	}
	return resp, err
}

// Checkpoint goes on to its end when containerd dies meanwhile: CRIU, killed while it
// dumps, would leave its code in processes that are stopped.
func (s *Service) Checkpoint(ctx context.Context, r *taskapi.CheckpointTaskRequest) (*emptypb.Empty, error) {
	return s.TTRPCTaskService.Checkpoint(context.WithoutCancel(ctx), r)
}

// Start starts a process. Upstream opens here the streams of an exec, and of a
// container that goes on from a checkpoint.
func (s *Service) Start(ctx context.Context, r *taskapi.StartRequest) (*taskapi.StartResponse, error) {
	if r.ExecID != "" {
		defer cgroups.HastenAttach()()
	}
	resp, err := s.TTRPCTaskService.Start(ctx, r)
	if c := s.container(r.ID); c != nil && err == nil && r.ExecID == "" {
		c.mu.Lock()
		c.starting = int(resp.Pid)
		c.mu.Unlock()
	}
	if p := s.process(r.ID, r.ExecID); p != nil {
		p.opened()
		if err == nil && r.ExecID != "" {
			p.limit(int(resp.Pid))
		}
	}
	return resp, err
}

// State gives the streams as they were asked for: other clients of containerd
// would open, and at the end remove, what is named here.
func (s *Service) State(ctx context.Context, r *taskapi.StateRequest) (*taskapi.StateResponse, error) {
	resp, err := s.TTRPCTaskService.State(ctx, r)
	if err != nil {
		return nil, err
	}
	if p := s.process(r.ID, r.ExecID); p != nil {
		resp.Stdout = streams.URI(p.cfg)
		resp.Stderr, resp.Stdin = "", ""
		if !p.cfg.Tty {
			resp.Stderr = resp.Stdout
		}
		if p.cfg.Stdin {
			resp.Stdin = resp.Stdout
		}
	}
	return resp, nil
}

// CloseIO ends the process's stdin.
func (s *Service) CloseIO(ctx context.Context, r *taskapi.CloseIORequest) (*emptypb.Empty, error) {
	if p := s.process(r.ID, r.ExecID); p != nil && r.Stdin && p.in != nil {
		p.in.close()
	}
	return s.TTRPCTaskService.CloseIO(ctx, r)
}

// Delete returns when the process's last byte is in the log and in the queue of
// each client.
func (s *Service) Delete(ctx context.Context, r *taskapi.DeleteRequest) (*taskapi.DeleteResponse, error) {
	if r.ExecID != "" && s.process(r.ID, r.ExecID) != nil {
		return s.deleteExec(ctx, r)
	}
	if p := s.process(r.ID, r.ExecID); p != nil {
		// Upstream refuses at once what still runs, and else waits 10 s for the end
		// of the output, which comes when the log waits for its server no longer.
		t := time.AfterFunc(drainBound, p.log.Stop)
		defer t.Stop()
	}
	resp, err := s.TTRPCTaskService.Delete(ctx, r)
	if r.ExecID == "" && refused(err) {
		resp, err = s.deleteSelf(ctx, r.ID, err)
	}
	if err == nil && r.ExecID == "" {
		if c := s.drop(r.ID); c != nil {
			c.close(drainBound)
			_ = os.WriteFile(filepath.Join(c.bundle, launch.DeletedMark), nil, 0o600)
		}
	}
	return resp, err
}

// Pids names the container's process also when it has ended, until Delete. A
// containerd that starts again asks shims for their processes, and takes one
// without any for a failed start, to be removed with the exit code that nobody
// has had yet (core/runtime/v2, shouldCleanupShim).
func (s *Service) Pids(ctx context.Context, r *taskapi.PidsRequest) (*taskapi.PidsResponse, error) {
	resp, err := s.TTRPCTaskService.Pids(ctx, r)
	if err != nil || len(resp.Processes) > 0 {
		return resp, err
	}
	state, err := s.TTRPCTaskService.State(ctx, &taskapi.StateRequest{ID: r.ID})
	if err == nil && state.Status == task.Status_STOPPED {
		resp.Processes = append(resp.Processes, &task.ProcessInfo{Pid: state.Pid})
	}
	return resp, nil
}

// Shutdown ends the shim when it has no task left.
func (s *Service) Shutdown(ctx context.Context, r *taskapi.ShutdownRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	last, orphaned := len(s.tasks) == 0, s.orphaned
	s.mu.Unlock()
	if last {
		s.retire()
	}
	if last && orphaned {
		s.end()
	}
	return s.TTRPCTaskService.Shutdown(ctx, r)
}
