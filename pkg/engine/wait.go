package engine

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

// Wait returns when the condition holds: not-running (at once, if it does not
// run), next-exit or removed. registered is called as soon as nothing can be
// missed any more.
func (e *Engine) Wait(ctx context.Context, ref string, cond ctypes.WaitCondition, registered func()) (ctypes.WaitResponse, error) {
	u, err := e.units.Find(ref)
	if err != nil {
		return ctypes.WaitResponse{}, err
	}
	first := u.View()
	var met func(*unit.View) bool
	switch cond {
	case ctypes.WaitConditionNotRunning, "":
		met = func(v *unit.View) bool { return v.Status.Stops > first.Status.Stops || !v.Status.Active() }
	case ctypes.WaitConditionNextExit:
		met = func(v *unit.View) bool { return v.Status.Stops > first.Status.Stops || v.Status.Gone() }
	case ctypes.WaitConditionRemoved:
		met = func(v *unit.View) bool { return v.Status.Gone() && e.units.Get(u.ID) == nil }
	default:
		return ctypes.WaitResponse{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid condition: %q", cond))
	}
	registered()
	v, err := u.Until(ctx, met)
	if err != nil {
		return ctypes.WaitResponse{}, err
	}
	resp := ctypes.WaitResponse{StatusCode: int64(v.Status.ExitCode)}
	// A container that is gone did not fail to be removed, whatever its last
	// start failed of.
	if v.Status.Error != "" && v.Status.State != container.Removing {
		resp.Error = &ctypes.WaitExitError{Message: v.Status.Error}
	}
	return resp, nil
}
