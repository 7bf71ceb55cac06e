package main

import (
	"context"
	"errors"

	"github.com/containerd/errdefs"
)

// freeze pauses those of the containers that run. The engine is made after the
// volumes.
func (p *parts) freeze(ctx context.Context, ids []string) (func() error, error) {
	var paused []string
	thaw := func() error {
		var errs []error
		for _, id := range paused {
			err := p.engine.Unpause(context.WithoutCancel(ctx), id)
			if !errdefs.IsConflict(err) && !errdefs.IsNotFound(err) { // thawed by somebody else, or ended
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	}
	for _, id := range ids {
		err := p.engine.Pause(ctx, id)
		switch {
		case err == nil:
			paused = append(paused, id)
		case !errdefs.IsConflict(err) && !errdefs.IsNotFound(err): // it does not run
			return nil, errors.Join(err, thaw())
		}
	}
	return thaw, nil
}
