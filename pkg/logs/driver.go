package logs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	units "github.com/docker/go-units"

	"github.com/berth-engine/berth/pkg/logs/fluentd"
	"github.com/berth-engine/berth/pkg/logs/journald"
	"github.com/berth-engine/berth/pkg/logs/jsonfile"
	"github.com/berth-engine/berth/pkg/logs/local"
	"github.com/berth-engine/berth/pkg/logs/split"
	"github.com/berth-engine/berth/pkg/logs/syslog"
	"github.com/berth-engine/berth/pkg/streams"
)

// sink takes the entries of a log, in one goroutine.
type sink interface {
	// Add takes an entry, which is valid until it returns.
	Add(m *Message)
	// Flush has what was added written or sent. An error says that entries were
	// lost; it comes once until they are not any more.
	Flush() error
	Close() error
}

// driver splits what comes into entries, for one sink or more.
type driver struct {
	stop func()

	mu    sync.Mutex // guards parts: writers take turns, and wait for one another's disk or server
	parts []part
}

// part has a Splitter of its own, so that a file has all of a chunk before a server
// is waited for.
type part struct {
	split *split.Splitter
	sink  sink
}

// Open makes the driver that log names. An empty driver is None. A server that
// cannot be reached is an error, as in Docker.
func Open(log streams.Log) (Driver, error) {
	ctx, cancel := context.WithCancel(context.Background()) // of the log: Stop or Close ends it
	d := &driver{stop: cancel}
	if err := d.open(ctx, log); err != nil {
		cancel()
		for _, p := range d.parts {
			_ = p.sink.Close()
		}
		return nil, err
	}
	return d, nil
}

func (d *driver) open(ctx context.Context, log streams.Log) error {
	var s sink
	var err error
	attrs := log.Attrs
	if log.Options["tag"] != "" { // files have it among the attributes, if asked for
		attrs = with(attrs, "tag", log.Tag)
	}
	switch log.Driver {
	case None, "":
		return nil
	case JSONFile:
		s, err = jsonfile.Open(log.Path, log.Options, attrs)
	case Local:
		s, err = local.Open(log.Path, log.Options, attrs)
	default:
		if s, err = dial(ctx, log); err == nil && log.Path != "" {
			var copied sink
			if copied, err = local.Open(log.Path, cacheOptions(log.Options), attrs); err == nil {
				d.add(copied)
			}
		}
	}
	if err != nil {
		return err
	}
	if log.Options["mode"] == "non-blocking" {
		limit := int64(defaultBuffer)
		if size, ok := log.Options["max-buffer-size"]; ok {
			if limit, err = units.RAMInBytes(size); err != nil {
				return err
			}
		}
		s = newRing(s, 0, limit)
	}
	d.add(s)
	return nil
}

func (d *driver) add(s sink) {
	d.parts = append(d.parts, part{split.New(s.Add), s})
}

// dial makes the sink of a driver that sends the log elsewhere.
func dial(ctx context.Context, log streams.Log) (sink, error) {
	var to sender
	var err error
	switch log.Driver {
	case Syslog:
		to, err = syslog.Open(ctx, log)
	case Journald:
		to, err = journald.Open(ctx, journald.Socket, log)
	case Fluentd:
		to, err = fluentd.Open(ctx, log)
	default:
		return nil, unknown(log.Driver)
	}
	if err != nil {
		return nil, err
	}
	r := &remote{to: to, name: log.Driver}
	if limit, async := fluentd.Async(log.Options); async && log.Driver == Fluentd {
		return newRing(r, limit, asyncBuffer), nil
	}
	return r, nil
}

func with(m map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range m {
		out[k] = v
	}
	return out
}

func (d *driver) Write(source string, t time.Time, p []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs error
	for _, part := range d.parts {
		part.split.Write(source, t, p)
		if err := part.sink.Flush(); err != nil {
			errs = errors.Join(errs, err)
		}
	}
	return errs
}

func (d *driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.stop()
	var errs error
	for _, part := range d.parts {
		part.split.End(time.Now())
		errs = errors.Join(errs, part.sink.Flush(), part.sink.Close())
	}
	d.parts = nil
	return errs
}

func (d *driver) Stop() { d.stop() }

// sender sends entries to a server; its Open was given the context that ends it.
type sender interface {
	Send(m *Message) error
	Close() error
}

// remote makes a sink of a sender.
type remote struct {
	to   sender
	name string
	lost int   // entries since the last that was sent
	err  error // the first of a row, not told yet
}

func (r *remote) Add(m *Message) {
	err := r.to.Send(m)
	switch {
	case err == nil && r.lost > 0:
		slog.Warn("log is sent again", "driver", r.name, "dropped", r.lost)
		r.lost = 0
	case err != nil:
		if r.lost++; r.lost == 1 {
			r.err = fmt.Errorf("log entries are dropped until %s can be reached: %w", r.name, err)
		}
	}
}

func (r *remote) Flush() error {
	err := r.err
	r.err = nil
	return err
}

func (r *remote) Close() error { return r.to.Close() }
