package runtime

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	eventstypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	coreruntime "github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/typeurl/v2"
)

// Kind of an event.
type Kind string

// KindResync says that events may have been missed: the reader looks at Tasks.
const (
	KindExit    Kind = "exit"
	KindOOM     Kind = "oom"
	KindPaused  Kind = "paused"
	KindResumed Kind = "resumed"
	KindResync  Kind = "resync"
)

// Event is what happened to a task. ExecID is "" for the container's own
// process.
type Event struct {
	Kind       Kind
	ID, ExecID string
	Pid        int  // of exits
	Exit       Exit // of exits
}

const (
	// topicProbe is an event of our own that shows that a subscription is
	// live: over a socket, subscribing returns before containerd has done so.
	topicProbe    = "/berth/probe"
	probeInterval = 100 * time.Millisecond

	resubscribeMin = 100 * time.Millisecond
	resubscribeMax = 5 * time.Second
)

// eventStreams are the readers of containerd's events.
type eventStreams struct {
	conn
	ctx    context.Context // done when the Runtime is being closed
	cancel context.CancelFunc
	wg     sync.WaitGroup
	lost   func(context.Context) error // ends what a containerd that was away lost
}

func newEventStreams(ctx context.Context, c conn) *eventStreams {
	r := &eventStreams{conn: c}
	r.ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return r
}

// end closes all streams and waits for them.
func (r *eventStreams) end() {
	r.cancel()
	r.wg.Wait()
}

// Events streams what happens to tasks until ctx is done or the Runtime is
// closed; then the channel is closed. Nothing is dropped: what the reader has
// not taken waits in containerd. An exit may come twice.
//
// With the embedded containerd all that happens after Events returned is in
// the stream. With another one, a KindResync comes as soon as that holds, and
// again after each loss of the connection.
func (r *eventStreams) Events(ctx context.Context) <-chan Event {
	ctx, cancel := context.WithCancel(r.in(ctx))
	stop := context.AfterFunc(r.ctx, cancel)
	out := make(chan Event)
	sub := r.subscribe(ctx)
	r.wg.Go(func() {
		defer close(out)
		defer stop()
		defer cancel()
		delay := resubscribeMin
		for {
			if live := sub.forward(ctx, out); live {
				delay = resubscribeMin
			}
			if ctx.Err() != nil {
				return
			}
			select {
			case <-time.After(delay):
			case <-ctx.Done():
				return
			}
			delay = min(2*delay, resubscribeMax)
			sub = r.subscribe(ctx)
			sub.probe = true
		}
	})
	return out
}

// subscription is one subscription with containerd.
type subscription struct {
	publisher events.Publisher
	envelopes <-chan *events.Envelope
	errs      <-chan error
	probe     bool // it must be seen to be live, and then leads to a resync
	lost      func(context.Context) error
	cancel    context.CancelFunc
}

func (r *eventStreams) subscribe(ctx context.Context) *subscription {
	ctx, cancel := context.WithCancel(ctx)
	var filters []string
	for _, topic := range []string{
		coreruntime.TaskExitEventTopic, coreruntime.TaskOOMEventTopic,
		coreruntime.TaskPausedEventTopic, coreruntime.TaskResumedEventTopic, topicProbe,
	} {
		filters = append(filters, fmt.Sprintf("namespace==%q,topic==%q", r.config.Namespace, topic))
	}
	s := &subscription{publisher: r.client.EventService(), probe: r.config.Address != "", lost: r.lost, cancel: cancel}
	s.envelopes, s.errs = r.client.EventService().Subscribe(ctx, filters...)
	return s
}

// forward hands events over until the subscription breaks. live says that it
// came to be.
func (s *subscription) forward(ctx context.Context, out chan<- Event) (live bool) {
	defer s.cancel()
	live = !s.probe
	ticks := time.NewTicker(probeInterval)
	defer ticks.Stop()
	if s.probe {
		s.publishProbe(ctx)
	}
	for {
		var e Event
		select {
		case env := <-s.envelopes:
			var ok bool
			if env.Topic != topicProbe {
				e, ok = convert(env)
			} else if !live {
				live, ok, e = true, true, Event{Kind: KindResync}
				if err := s.lost(ctx); err != nil {
					slog.Warn("shims that containerd lost could not be ended", "error", err)
				}
			}
			if !ok {
				continue
			}
		case <-ticks.C:
			if !live {
				s.publishProbe(ctx)
			} else {
				ticks.Stop()
			}
			continue
		case err := <-s.errs:
			if err != nil && ctx.Err() == nil {
				slog.Warn("events of containerd broke off", "error", err)
			}
			return live
		case <-ctx.Done():
			return live
		}
		select {
		case out <- e:
		case <-ctx.Done():
			return live
		}
	}
}

// publishProbe may fail: then the subscription breaks as well, or the next
// probe gets through.
func (s *subscription) publishProbe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = s.publisher.Publish(ctx, topicProbe, &eventstypes.NamespaceUpdate{})
}

// convert reads an event of containerd; ok is false for one that says nothing
// to us. It comes from our own shims, or from whoever may talk to containerd.
func convert(env *events.Envelope) (e Event, ok bool) {
	v, err := typeurl.UnmarshalAny(env.Event)
	if err != nil {
		slog.Warn("an event of containerd cannot be read", "topic", env.Topic, "error", err)
		return Event{}, false
	}
	switch t := v.(type) {
	case *eventstypes.TaskExit:
		e = Event{Kind: KindExit, ID: t.ContainerID, Pid: int(t.Pid), Exit: exit(t.ExitStatus, t.ExitedAt)}
		if t.ID != t.ContainerID {
			e.ExecID = t.ID
		}
	case *eventstypes.TaskOOM:
		e = Event{Kind: KindOOM, ID: t.ContainerID}
	case *eventstypes.TaskPaused:
		e = Event{Kind: KindPaused, ID: t.ContainerID}
	case *eventstypes.TaskResumed:
		e = Event{Kind: KindResumed, ID: t.ContainerID}
	default:
		return Event{}, false
	}
	return e, true
}
