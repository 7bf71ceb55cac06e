package supervise

import (
	"context"
	"sync"
)

// Owner runs functions one after another on one goroutine. Whatever they touch
// needs no lock.
type Owner struct {
	wake chan struct{} // capacity 1: there is something in queue
	done chan struct{} // closed when the goroutine has ended
	quit chan struct{} // closed by Close

	mu     sync.Mutex // guards queue and reason
	queue  []func()
	reason error // of Close; nil while open
}

// NewOwner starts the goroutine. Close ends it.
func NewOwner() *Owner {
	o := &Owner{wake: make(chan struct{}, 1), done: make(chan struct{}), quit: make(chan struct{})}
	go o.run()
	return o
}

// Post hands f over without waiting for it. It never blocks: exits must not
// wait for a container that is busy starting. False: the owner has ended.
func (o *Owner) Post(f func()) bool {
	o.mu.Lock()
	if o.reason != nil {
		o.mu.Unlock()
		return false
	}
	o.queue = append(o.queue, f)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return true
}

// Do runs f on the owner and waits for its answer. A caller that gives up gets
// its context's error; f, once begun, still runs to its end, with a context
// that keeps ctx's values only. Unavailable: the owner has ended.
func (o *Owner) Do(ctx context.Context, f func(context.Context) error) error {
	answer := make(chan error, 1)
	posted := o.Post(func() {
		if err := ctx.Err(); err != nil {
			answer <- err
			return
		}
		answer <- f(context.WithoutCancel(ctx))
	})
	if !posted {
		return o.why()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-o.done:
		select {
		case err := <-answer:
			return err
		default:
			return o.why()
		}
	}
}

// Close drops what was not begun, whose callers get reason, and returns at
// once; Wait waits for what was begun. A second Close changes nothing.
func (o *Owner) Close(reason error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.reason == nil {
		o.reason = reason
		o.queue = nil
		close(o.quit)
	}
}

// Wait returns when the goroutine has ended, after Close.
func (o *Owner) Wait() { <-o.done }

func (o *Owner) why() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.reason
}

func (o *Owner) run() {
	defer close(o.done)
	for {
		f := o.take()
		if f == nil {
			select {
			case <-o.wake:
				continue
			case <-o.quit:
				return
			}
		}
		f()
	}
}

func (o *Owner) take() func() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return nil
	}
	f := o.queue[0]
	o.queue[0] = nil
	o.queue = o.queue[1:]
	return f
}
