// Package traces has BuildKit record what builds spend their time on, for the history of
// builds: the spans of berthd and, where a client sends its own, those of the client.
//
// What is recorded is bounded, whoever sends it: a trace that is too long loses its
// further spans. It is kept until BuildKit has written it into the record of its build,
// and for a minute or two if no build asks for it.
//
// BuildKit's solver reads its recorder from a variable of its own package,
// detect.Recorder, and takes none by its options: New sets it. OpenTelemetry's provider,
// which is one for the process, is left alone: BuildKit takes the tracer of the request.
package traces

import (
	"context"
	"sync"
	"time"

	"github.com/moby/buildkit/util/tracing"
	"github.com/moby/buildkit/util/tracing/detect"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/stats"
)

// Bounds of what is kept in memory, in bytes as cost counts them: a step of a build takes
// about 20 KiB.
const (
	maxTrace = 8 << 20
	maxAll   = 32 << 20
	// forgotten is longer than BuildKit's recorder keeps a trace that nobody asks for.
	forgotten = 3 * time.Minute
)

// Recorder is BuildKit's, behind the bounds. It is a span processor, for berthd's own
// spans, and a span exporter, for those of clients.
type Recorder struct {
	next     *detect.TraceRecorder
	provider *sdktrace.TracerProvider
	now      func() time.Time

	mu     sync.Mutex // guards what follows
	traces map[oteltrace.TraceID]*account
	total  int // of all traces
	swept  time.Time
}

// account is what one trace has taken.
type account struct {
	open int // spans of ours that have not ended; while there are any, a build may ask for it
	cost int
	last time.Time
}

// New starts to record. Shutdown ends it.
func New() *Recorder {
	r := &Recorder{next: detect.NewTraceRecorder(), now: time.Now, traces: map[oteltrace.TraceID]*account{}}
	r.provider = sdktrace.NewTracerProvider(
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "berthd"))),
		sdktrace.WithSpanProcessor(r))
	detect.Recorder = r.next
	return r
}

// Calls makes a span of each call to a server, below that of the client if it tells one.
func (r *Recorder) Calls() stats.Handler {
	return tracing.ServerStatsHandler(
		otelgrpc.WithTracerProvider(r.provider),
		otelgrpc.WithPropagators(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})))
}

// OnStart notes that a trace goes on.
func (r *Recorder) OnStart(_ context.Context, s sdktrace.ReadWriteSpan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accountLocked(s.SpanContext().TraceID()).open++
}

// OnEnd records a span of berthd.
func (r *Recorder) OnEnd(s sdktrace.ReadOnlySpan) {
	if r.admit(s, 1) {
		_ = r.next.ExportSpans(context.Background(), []sdktrace.ReadOnlySpan{s}) // fails by its context alone
	}
}

// ExportSpans records spans of a client.
func (r *Recorder) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	var kept []sdktrace.ReadOnlySpan
	for _, s := range spans {
		if r.admit(s, 0) {
			kept = append(kept, s)
		}
	}
	return r.next.ExportSpans(ctx, kept)
}

// ForceFlush has nothing to do: spans are recorded as they end.
func (r *Recorder) ForceFlush(context.Context) error { return nil }

// Shutdown ends BuildKit's recorder.
func (r *Recorder) Shutdown(ctx context.Context) error { return r.next.Shutdown(ctx) }

// admit says whether a span is within the bounds, and counts it if so. ended spans of
// ours are open no more.
func (r *Recorder) admit(s sdktrace.ReadOnlySpan, ended int) bool {
	c := cost(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweepLocked()
	a := r.accountLocked(s.SpanContext().TraceID())
	a.open -= ended
	if a.cost+c > maxTrace || r.total+c > maxAll {
		return false
	}
	a.cost += c
	r.total += c
	return true
}

// accountLocked is that of a trace, which it says is in use.
func (r *Recorder) accountLocked(id oteltrace.TraceID) *account {
	a := r.traces[id]
	if a == nil {
		a = &account{}
		r.traces[id] = a
	}
	a.last = r.now()
	return a
}

// sweepLocked forgets, once a minute, the traces that BuildKit's recorder has forgotten.
func (r *Recorder) sweepLocked() {
	now := r.now()
	if now.Sub(r.swept) < time.Minute {
		return
	}
	r.swept = now
	for id, a := range r.traces {
		if a.open == 0 && now.Sub(a.last) > forgotten {
			r.total -= a.cost
			delete(r.traces, id)
		}
	}
}

// What the structures of a span and of its parts take, without what they refer to.
const (
	spanCost = 1024
	partCost = 128
)

// cost is about what a span takes in memory, in bytes.
func cost(s sdktrace.ReadOnlySpan) int {
	n := spanCost + len(s.Name()) + len(s.Status().Description) + attributesCost(s.Resource().Attributes()) + attributesCost(s.Attributes())
	for _, e := range s.Events() {
		n += partCost + len(e.Name) + attributesCost(e.Attributes)
	}
	for _, l := range s.Links() {
		n += partCost + attributesCost(l.Attributes)
	}
	return n
}

func attributesCost(all []attribute.KeyValue) (n int) {
	for _, a := range all {
		n += partCost + len(a.Key) + len(a.Value.String())
	}
	return n
}
