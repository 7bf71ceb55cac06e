package shim

import (
	"context"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types/task"
)

// deleteExec deletes an exec. When a child that the process left behind holds its
// streams, upstream would wait 10 s for their end; the streams are cut off and the
// answer given after drainBound, while upstream goes on.
func (s *Service) deleteExec(ctx context.Context, r *taskapi.DeleteRequest) (*taskapi.DeleteResponse, error) {
	// Asked now: upstream does not answer for a process that it is deleting.
	state, err := s.TTRPCTaskService.State(ctx, &taskapi.StateRequest{ID: r.ID, ExecID: r.ExecID})
	if err != nil {
		return nil, err
	}
	type result struct {
		resp *taskapi.DeleteResponse
		err  error
	}
	deleted := make(chan result, 1)
	go func() { // ends with upstream's own bound
		resp, err := s.TTRPCTaskService.Delete(context.WithoutCancel(ctx), r)
		deleted <- result{resp, err}
	}()
	t := time.NewTimer(drainBound)
	defer t.Stop()
	var d result
	bound := drainBound
	select {
	case d = <-deleted:
	case <-t.C:
		if state.Status != task.Status_STOPPED {
			d = <-deleted // it runs, and upstream will say so
			break
		}
		bound = 0 // waited already
		d.resp = &taskapi.DeleteResponse{Pid: state.Pid, ExitStatus: state.ExitStatus, ExitedAt: state.ExitedAt}
	}
	if d.err == nil {
		if c := s.container(r.ID); c != nil {
			c.remove(r.ExecID, bound)
		}
	}
	return d.resp, d.err
}
