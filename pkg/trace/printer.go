package trace

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// Bounds of what is kept of requests that have not ended: a request with more
// steps is printed without the rest, one begun beyond is not printed.
const (
	maxTraces = 1024
	maxSteps  = 256
)

// printer is the span processor that logs a request when its root span ends.
type printer struct {
	logger *slog.Logger

	mu   sync.Mutex // guards open
	open map[oteltrace.TraceID][]step
}

// step is an ended span.
type step struct {
	id, parent oteltrace.SpanID
	name       string
	start, end time.Time
}

func newPrinter(logger *slog.Logger) *printer {
	return &printer{logger: logger, open: map[oteltrace.TraceID][]step{}}
}

// isRoot says whether a span begins a request of ours: other libraries' roots
// (a background goroutine of containerd) are not printed.
func isRoot(s sdktrace.ReadOnlySpan) bool {
	return !s.Parent().IsValid() && s.InstrumentationScope().Name == scope
}

// OnStart opens a request.
func (p *printer) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	if !isRoot(s) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.open) < maxTraces {
		p.open[s.SpanContext().TraceID()] = nil
	}
}

// OnEnd collects a step, and prints the request with its root.
func (p *printer) OnEnd(s sdktrace.ReadOnlySpan) {
	steps, done := p.collect(s)
	if !done {
		return
	}
	attrs := []any{"request", s.Name(), "took", s.EndTime().Sub(s.StartTime()).Round(time.Microsecond)}
	for _, a := range s.Attributes() {
		attrs = append(attrs, string(a.Key), a.Value.String())
	}
	p.logger.Debug("trace", append(attrs, "steps", render(s.SpanContext().SpanID(), s.StartTime(), steps))...)
}

// collect adds a step, or takes all of them away when s is the root.
func (p *printer) collect(s sdktrace.ReadOnlySpan) (steps []step, done bool) {
	id := s.SpanContext().TraceID()
	p.mu.Lock()
	defer p.mu.Unlock()
	steps, ok := p.open[id]
	switch {
	case !ok: // its request has ended, or was never opened
		return nil, false
	case isRoot(s):
		delete(p.open, id)
		return steps, true
	case len(steps) < maxSteps:
		p.open[id] = append(steps, step{s.SpanContext().SpanID(), s.Parent().SpanID(), s.Name(), s.StartTime(), s.EndTime()})
	}
	return nil, false
}

// Shutdown and ForceFlush have nothing to do: lines are written at once.
func (p *printer) Shutdown(context.Context) error   { return nil }
func (p *printer) ForceFlush(context.Context) error { return nil }

// render writes the steps under parent in the order of their starts, each with
// its offset from origin, its duration and, in brackets, its own steps:
// "a +0s 3ms, b +3ms 40ms [c +4ms 30ms]".
func render(parent oteltrace.SpanID, origin time.Time, steps []step) string {
	children := map[oteltrace.SpanID][]step{}
	for _, s := range steps {
		children[s.parent] = append(children[s.parent], s)
	}
	var b strings.Builder
	var write func(oteltrace.SpanID)
	write = func(id oteltrace.SpanID) {
		own := children[id]
		slices.SortStableFunc(own, func(x, y step) int { return x.start.Compare(y.start) })
		for i, s := range own {
			if i > 0 {
				b.WriteString(", ")
			}
			fmt.Fprintf(&b, "%s +%s %s", s.name, short(s.start.Sub(origin)), short(s.end.Sub(s.start)))
			if len(children[s.id]) > 0 {
				b.WriteString(" [")
				write(s.id)
				b.WriteString("]")
			}
		}
	}
	write(parent)
	return b.String()
}

// short is a duration in a tenth of a millisecond's precision.
func short(d time.Duration) string {
	return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
}
