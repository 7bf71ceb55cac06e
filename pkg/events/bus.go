// Package events is berthd's event bus: what GET /events reads.
//
// It guarantees that publishing never waits on a subscriber, that every
// subscriber sees events in the order of their times, and that no two events
// have the same time, so that a client may resume at the last one it saw. It
// remembers the last 256 events, as Docker does; older ones are gone.
package events

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

const (
	// remembered is how many past events are kept: Docker's number.
	remembered = 256
	// queued is how many events a subscriber may be behind before it is
	// dropped: several seconds of a host that starts containers all the time.
	queued = 1024
)

// Bus takes events and hands them to subscribers. Its zero value is ready.
type Bus struct {
	mu          sync.Mutex // guards all below; held for memory operations only
	last        int64      // TimeNano of the newest event
	published   uint64
	ring        []events.Message
	next        int // where the ring, once full, is written next
	subscribers map[*subscriber]struct{}
}

// subscriber is one reader's queue.
type subscriber struct {
	queue  chan events.Message
	filter filters.Args
}

// Publish gives m to all subscribers. An empty time becomes now; a time that
// is not after the last event's becomes one nanosecond after it. An empty
// scope becomes "local". m's attributes must not be changed afterwards.
func (b *Bus) Publish(m events.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.TimeNano == 0 {
		m.TimeNano = time.Now().UnixNano()
	}
	m.TimeNano = max(m.TimeNano, b.last+1)
	m.Time = m.TimeNano / int64(time.Second)
	b.last = m.TimeNano
	b.published++
	if m.Scope == "" {
		m.Scope = "local"
	}
	if len(b.ring) < remembered {
		b.ring = append(b.ring, m)
	} else {
		b.ring[b.next] = m
		b.next = (b.next + 1) % remembered
	}
	for s := range b.subscribers {
		if !match(s.filter, m) {
			continue
		}
		select {
		case s.queue <- m:
		default: // too slow: its reader finds the end of the queue
			delete(b.subscribers, s)
			close(s.queue)
		}
	}
}

// Subscribe calls each for the events that f lets through: those remembered
// since since (none when both times are zero, as in Docker), then new ones as
// they come. It calls registered, when given, as soon as no later event can be
// missed.
//
// It ends at until with nil, when ctx is done with its error, when each fails
// with that error, and with Unavailable when each is so slow that events had to
// be dropped. A zero until is no end; one in the past ends after the remembered
// events.
func (b *Bus) Subscribe(ctx context.Context, since, until time.Time, f filters.Args, registered func(), each func(events.Message) error) error {
	s := &subscriber{queue: make(chan events.Message, queued), filter: f}
	past := b.add(s, since, until)
	defer b.remove(s)
	if registered != nil {
		registered()
	}
	for _, m := range past {
		if err := each(m); err != nil {
			return err
		}
	}
	var end <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		end = t.C
	}
	for {
		select {
		case m, ok := <-s.queue:
			if !ok {
				return errdefs.ErrUnavailable.WithMessage("events were dropped: the client reads too slowly")
			}
			if !until.IsZero() && m.TimeNano > until.UnixNano() {
				return nil
			}
			if err := each(m); err != nil {
				return err
			}
		case <-end:
			return drain(s, until, each)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// drain hands over what came before until but was not read yet.
func drain(s *subscriber, until time.Time, each func(events.Message) error) error {
	for {
		select {
		case m, ok := <-s.queue:
			if !ok || m.TimeNano > until.UnixNano() {
				return nil
			}
			if err := each(m); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// add registers s and returns the remembered events that it asked for. Both
// happen in one step: an event is either among those or goes to the queue.
func (b *Bus) add(s *subscriber, since, until time.Time) (past []events.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subscribers == nil {
		b.subscribers = map[*subscriber]struct{}{}
	}
	b.subscribers[s] = struct{}{}
	if since.IsZero() && until.IsZero() {
		return nil
	}
	for _, m := range slices.Concat(b.ring[b.next:], b.ring[:b.next]) {
		late := !until.IsZero() && m.TimeNano > until.UnixNano()
		early := !since.IsZero() && m.TimeNano < since.UnixNano()
		if !late && !early && match(s.filter, m) {
			past = append(past, m)
		}
	}
	return past
}

func (b *Bus) remove(s *subscriber) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.subscribers, s)
}

// Subscribers says how many are reading now.
func (b *Bus) Subscribers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.subscribers)
}

// Published says how many events there have been.
func (b *Bus) Published() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.published
}
