package engine

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/top"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// Top lists the processes of a running container as the host's ps shows them
// with options, "" being -ef. Conflict: it does not run.
func (e *Engine) Top(ctx context.Context, ref, options string) (ctypes.TopResponse, error) {
	args, err := top.Options(options)
	if err != nil {
		return ctypes.TopResponse{}, err
	}
	u, err := e.units.Find(ref)
	if err != nil {
		return ctypes.TopResponse{}, err
	}
	if err := hasTask(u); err != nil {
		return ctypes.TopResponse{}, err
	}
	pids, err := e.freezer.tasks.Pids(ctx, u.ID)
	if err != nil {
		return ctypes.TopResponse{}, fmt.Errorf("processes of container %s: %w", u.ID, err)
	}
	list, err := top.List(ctx, args, pids)
	if err != nil {
		return ctypes.TopResponse{}, err
	}
	e.events.Publish(u.Event(events.ActionTop, nil))
	return list, nil
}

// hasTask says why there are no processes to look at.
func hasTask(u *unit.Unit) error {
	switch s := u.Status(); {
	case s.State == container.Restarting:
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is restarting, wait until the container is running", u.ID))
	case !s.Live():
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", u.ID))
	}
	return nil
}
