package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/supervise"
)

// unit is a container under supervision. Fields without a guard belong to its
// owner goroutine.
type unit struct {
	id    string
	owner *supervise.Owner

	now atomic.Pointer[view]

	mu      sync.Mutex    // guards changed
	changed chan struct{} // closed and replaced at each change of the view

	backoff time.Duration // before the current run; 0 when a user started it
	timer   *time.Timer   // of the restart that is due
	waiting []*attacher   // clients that attached before the start
	running chan struct{} // closed when the current run has ended and its streams are drained; nil when nothing runs
}

// view is what readers see: one consistent moment of a container.
type view struct {
	record *container.Record
	status container.Status
	ended  <-chan struct{} // unit.running of that moment
}

func newUnit(r *container.Record, s container.Status) *unit {
	u := &unit{id: r.ID, owner: supervise.NewOwner(), changed: make(chan struct{})}
	u.now.Store(&view{record: r, status: s})
	return u
}

func (u *unit) view() *view { return u.now.Load() }

func (u *unit) status() container.Status { return u.view().status }

// set publishes a new status; owner only.
func (u *unit) set(s container.Status) { u.publish(u.view().record, s) }

// publish makes a new view visible and wakes who waits for one; owner only.
func (u *unit) publish(r *container.Record, s container.Status) {
	u.now.Store(&view{record: r, status: s, ended: u.running})
	u.mu.Lock()
	defer u.mu.Unlock()
	close(u.changed)
	u.changed = make(chan struct{})
}

// until waits for a view that satisfies ok.
func (u *unit) until(ctx context.Context, ok func(*view) bool) (*view, error) {
	for {
		u.mu.Lock()
		changed := u.changed
		u.mu.Unlock()
		if v := u.view(); ok(v) {
			return v, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// do runs f on the owner.
func (u *unit) do(ctx context.Context, f func(context.Context) error) error {
	return u.owner.Do(ctx, f)
}
