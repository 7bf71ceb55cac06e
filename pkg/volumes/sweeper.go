package volumes

import (
	"context"
	"log/slog"
	"sync"

	"github.com/berth-engine/berth/pkg/files"
)

// sweeper deletes folders of the store that are no volumes any more, behind the answer: a
// volume of a million files takes minutes. What it has not deleted when berthd ends is
// found by the next one, by its name.
type sweeper struct {
	ctx    context.Context
	cancel context.CancelFunc
	one    chan struct{} // capacity 1: folders are deleted one after the other
	wait   sync.WaitGroup
	logger *slog.Logger
}

func newSweeper(logger *slog.Logger) *sweeper {
	ctx, cancel := context.WithCancel(context.Background())
	return &sweeper{ctx: ctx, cancel: cancel, one: make(chan struct{}, 1), logger: logger}
}

// later deletes a folder soon.
func (s *sweeper) later(dir string) {
	s.wait.Go(func() {
		select {
		case s.one <- struct{}{}:
		case <-s.ctx.Done():
			return
		}
		defer func() { <-s.one }()
		err := nothingMounted(dir)
		if err == nil {
			err = files.RemoveTree(s.ctx, dir)
		}
		if err != nil && s.ctx.Err() == nil {
			s.logger.Warn("left over of a volume cannot be removed", "path", dir, "error", err)
		}
	})
}

// close ends the deleting.
func (s *sweeper) close() {
	s.cancel()
	s.wait.Wait()
}

// sweep deletes a folder of the store, but not what someone mounted there. The end of a
// request does not end it.
func sweep(ctx context.Context, dir string) error {
	if err := nothingMounted(dir); err != nil {
		return err
	}
	return files.RemoveTree(context.WithoutCancel(ctx), dir)
}
