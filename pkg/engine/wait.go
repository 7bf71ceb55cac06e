package engine

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

// Wait returns when the condition holds: not-running (at once, if it does not
// run), next-exit or removed. registered is called as soon as nothing can be
// missed any more.
func (e *Engine) Wait(ctx context.Context, ref string, cond ctypes.WaitCondition, registered func()) (ctypes.WaitResponse, error) {
	u, err := e.units.find(ref)
	if err != nil {
		return ctypes.WaitResponse{}, err
	}
	first := u.view()
	var met func(*view) bool
	switch cond {
	case ctypes.WaitConditionNotRunning, "":
		met = func(v *view) bool { return v.status.Stops > first.status.Stops || !v.status.Active() }
	case ctypes.WaitConditionNextExit:
		met = func(v *view) bool { return v.status.Stops > first.status.Stops || v.status.Gone() }
	case ctypes.WaitConditionRemoved:
		met = func(v *view) bool { return v.status.Gone() && e.units.get(u.id) == nil }
	default:
		return ctypes.WaitResponse{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid condition: %q", cond))
	}
	registered()
	v, err := u.until(ctx, met)
	if err != nil {
		return ctypes.WaitResponse{}, err
	}
	resp := ctypes.WaitResponse{StatusCode: int64(v.status.ExitCode)}
	// A container that is gone did not fail to be removed, whatever its last
	// start failed of.
	if v.status.Error != "" && v.status.State != container.Removing {
		resp.Error = &ctypes.WaitExitError{Message: v.status.Error}
	}
	return resp, nil
}
