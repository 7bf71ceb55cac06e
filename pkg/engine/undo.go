package engine

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/containerd/errdefs"
)

// undoTimeout bounds one step back.
const undoTimeout = 30 * time.Second

// undoStack gives back what was acquired, last first. A step is pushed before
// its resource is acquired: each is idempotent, and an acquisition that failed
// half-way is undone as well.
type undoStack []undoStep

type undoStep struct {
	name string
	f    func(context.Context) error
}

func (s *undoStack) push(name string, f func(context.Context) error) {
	*s = append(*s, undoStep{name, f})
}

func (s *undoStack) run(ctx context.Context, log *slog.Logger) {
	for _, step := range slices.Backward(*s) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
		if err := step.f(ctx); err != nil {
			log.Error("undo failed", "step", step.name, "error", err)
		}
		cancel()
	}
	*s = nil
}

func ignoreNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
