// Package unit holds the containers in memory: one Unit each, found by ID, name
// or prefix in a Registry, and written to the store by a Writer. A unit's owner
// goroutine alone changes it; everybody else reads a View and waits for nobody.
package unit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-engine/berth/pkg/engine/attach"
	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/supervise"
)

// Unit is a container under supervision. What has no guard belongs to its owner
// goroutine.
type Unit struct {
	ID    string
	owner *supervise.Owner

	now atomic.Pointer[View]

	mu      sync.Mutex    // guards changed
	changed chan struct{} // closed and replaced at each change of the view

	Backoff time.Duration // before the current run; 0 when a user started it
	Timer   *time.Timer   // of the restart that is due
	Kept    bool          // its next exit does not remove it: a restart by a user is under way
	Holds   int           // how many look at its files and want it paused
	Waiting attach.Queue  // clients that attached before the start
	ended   chan struct{} // closed when the current run has ended and its streams are drained; nil when nothing runs
}

// View is what readers see: one consistent moment of a container. They must not
// write to it.
type View struct {
	Record *container.Record
	Status container.Status
	// Ended is closed when the run of that moment has ended and its streams are
	// drained; nil when nothing ran.
	Ended <-chan struct{}
}

// New starts a container's owner, which Close ends.
func New(r *container.Record, s container.Status) *Unit {
	u := &Unit{ID: r.ID, owner: supervise.NewOwner(), changed: make(chan struct{})}
	u.now.Store(&View{Record: r, Status: s})
	return u
}

// View is the present moment.
func (u *Unit) View() *View { return u.now.Load() }

// Status is that of the present moment.
func (u *Unit) Status() container.Status { return u.View().Status }

// Set publishes a new status. Owner only.
func (u *Unit) Set(s container.Status) { u.Publish(u.View().Record, s) }

// Publish makes a new view visible and wakes who waits for one. Owner only.
func (u *Unit) Publish(r *container.Record, s container.Status) {
	u.now.Store(&View{Record: r, Status: s, Ended: u.ended})
	u.mu.Lock()
	defer u.mu.Unlock()
	close(u.changed)
	u.changed = make(chan struct{})
}

// Until waits for a view that satisfies ok.
func (u *Unit) Until(ctx context.Context, ok func(*View) bool) (*View, error) {
	for {
		u.mu.Lock()
		changed := u.changed
		u.mu.Unlock()
		if v := u.View(); ok(v) {
			return v, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Begin opens a run; views from now on have its end. Owner only.
func (u *Unit) Begin() { u.ended = make(chan struct{}) }

// End closes the run. Owner only.
func (u *Unit) End() {
	close(u.ended)
	u.ended = nil
}

// Do runs f on the owner and waits for its answer: see supervise.Owner.
func (u *Unit) Do(ctx context.Context, f func(context.Context) error) error {
	return u.owner.Do(ctx, f)
}

// Post hands f to the owner. False: the owner has ended.
func (u *Unit) Post(f func()) bool { return u.owner.Post(f) }

// Close ends the owner; who still asks for something gets reason.
func (u *Unit) Close(reason error) { u.owner.Close(reason) }

// Wait returns when the owner has ended, after Close.
func (u *Unit) Wait() { u.owner.Wait() }
