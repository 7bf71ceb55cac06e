package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	eventtypes "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"
	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
)

// topicMark is the topic of an event of our own. Subscribing is asynchronous
// in containerd; once our mark comes back, no change can be missed any more.
const topicMark = "/berth/images/mark"

// follow keeps the index current with changes that other containerd clients
// make. first receives the outcome of the first full reading.
func (x *Catalog) follow(ctx context.Context, first chan<- error) {
	const least, most = 100 * time.Millisecond, 10 * time.Second
	for delay := least; ; delay = min(2*delay, most) {
		began := time.Now()
		err := x.followOnce(ctx, func(err error) {
			if first != nil {
				first <- err
				first = nil
			}
		})
		if ctx.Err() != nil {
			return
		}
		if first != nil {
			first <- err
			return
		}
		if time.Since(began) > most {
			delay = least
		}
		x.log.Warn("images: containerd's events were interrupted", "error", err, "retry", delay)
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// followOnce reads everything once it is subscribed, then follows events until
// the stream breaks.
func (x *Catalog) followOnce(ctx context.Context, read func(error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ns := fmt.Sprintf("namespace==%q,topic", x.namespace)
	stream, errs := x.client.EventService().Subscribe(ctx,
		ns+`~="^/images/"`, ns+`=="/snapshot/remove"`, ns+`=="`+topicMark+`"`)
	if err := x.mark(ctx, stream, errs); err != nil {
		return err
	}
	err := x.Refresh(ctx, Request{Reread: true})
	read(err)
	if err != nil {
		return err
	}
	for {
		select {
		case e := <-stream:
			if err := x.changed(ctx, e); err != nil {
				return err
			}
		case err := <-errs:
			return broken(err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// mark publishes until its own event arrives.
func (x *Catalog) mark(ctx context.Context, stream <-chan *events.Envelope, errs <-chan error) error {
	id := uuid.NewString()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	publish := true
	for {
		if publish {
			if err := x.client.EventService().Publish(ctx, topicMark, &eventtypes.ImageUpdate{Name: id}); err != nil {
				return fmt.Errorf("publish to containerd: %w", err)
			}
		}
		publish = false
		select {
		case e := <-stream:
			if name, ok := imageName(e); ok && e.Topic == topicMark && name == id {
				return nil
			}
		case <-again.C:
			publish = true
		case err := <-errs:
			return broken(err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func broken(err error) error {
	if err == nil {
		err = errors.New("stream ended")
	}
	return fmt.Errorf("containerd's events: %w", err)
}

// changed brings the index up to date after an event.
func (x *Catalog) changed(ctx context.Context, e *events.Envelope) error {
	if e.Topic == topicMark {
		return nil
	}
	if name, ok := imageName(e); ok {
		return x.Refresh(ctx, Request{Names: []string{name}})
	}
	// Chain IDs name the snapshots of layers; those of containers have other
	// names and concern nobody here.
	if chain, ok := removedSnapshot(e); ok && strings.HasPrefix(chain, "sha256:") {
		for _, t := range x.View().Targets {
			if t.standsOn(digest.Digest(chain)) {
				return x.Refresh(ctx, Request{chain: chain})
			}
		}
	}
	return nil
}

func imageName(e *events.Envelope) (string, bool) {
	switch v := decode(e).(type) {
	case *eventtypes.ImageCreate:
		return v.Name, true
	case *eventtypes.ImageUpdate:
		return v.Name, true
	case *eventtypes.ImageDelete:
		return v.Name, true
	}
	return "", false
}

func removedSnapshot(e *events.Envelope) (string, bool) {
	v, ok := decode(e).(*eventtypes.SnapshotRemove)
	if !ok {
		return "", false
	}
	return v.Key, true
}

func decode(e *events.Envelope) any {
	if e == nil || e.Event == nil {
		return nil
	}
	v, err := typeurl.UnmarshalAny(e.Event)
	if err != nil {
		return nil
	}
	return v
}
