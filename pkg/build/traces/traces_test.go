package traces

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/util/tracing/transform"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"
	tracev1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	resourcev1 "go.opentelemetry.io/proto/otlp/resource/v1"
	spanv1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

func start(t *testing.T) *Recorder {
	t.Helper()
	r := New()
	t.Cleanup(func() { _ = r.Shutdown(context.Background()) })
	return r
}

// ofClient is a span of a client, with a name of a length.
func ofClient(trace byte, length int) sdktrace.ReadOnlySpan {
	sc := oteltrace.NewSpanContext(oteltrace.SpanContextConfig{TraceID: oteltrace.TraceID{trace, 1}, SpanID: oteltrace.SpanID{1}})
	return tracetest.SpanStub{Name: strings.Repeat("x", length), SpanContext: sc}.Snapshot()
}

// A build has the spans below its own, berthd's and those that a client sends.
func TestRecorded(t *testing.T) {
	r := start(t)
	ctx, build := r.provider.Tracer("").Start(context.Background(), "build")
	stop, err := r.next.Record(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, step := r.provider.Tracer("").Start(ctx, "step")
	step.End()
	client := tracetest.SpanStub{Name: "client", SpanContext: step.SpanContext()}.Snapshot()
	if err := r.ExportSpans(ctx, []sdktrace.ReadOnlySpan{client, ofClient(9, 1)}); err != nil {
		t.Fatal(err)
	}
	build.End()
	var names []string
	for _, s := range stop() {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "step client build" {
		t.Errorf("recorded: %s", got)
	}
}

// No client fills the memory, by one trace, by many, or by one that goes on for long.
func TestBounds(t *testing.T) {
	r := start(t)
	now := time.Unix(1_000_000, 0)
	r.now = func() time.Time { return now }
	if !r.admit(ofClient(1, maxTrace/2), 0) || r.admit(ofClient(1, maxTrace/2), 0) {
		t.Error("one trace is not bounded")
	}
	for i := range byte(maxAll / maxTrace * 2) {
		r.admit(ofClient(2+i, maxTrace/2), 0)
	}
	if r.admit(ofClient(99, maxTrace/2), 0) || r.total > maxAll {
		t.Errorf("%d bytes in all", r.total)
	}
	_, build := r.provider.Tracer("").Start(context.Background(), "a long build")
	now = now.Add(forgotten + time.Second)
	if !r.admit(ofClient(99, maxTrace/2), 0) || len(r.traces) != 2 {
		t.Errorf("%d traces are not forgotten", len(r.traces))
	}
	r.traces[build.SpanContext().TraceID()].cost = maxTrace
	now = now.Add(time.Hour)
	r.admit(ofClient(1, 1), 0)
	build.End()
	if a := r.traces[build.SpanContext().TraceID()]; a == nil || a.cost != maxTrace || a.open != 0 {
		t.Errorf("a build that goes on begins anew: %+v", a)
	}
	now = now.Add(time.Hour)
	r.admit(ofClient(1, 1), 0)
	if len(r.traces) != 1 || r.total > 2*spanCost {
		t.Errorf("%d traces of %d bytes are left", len(r.traces), r.total)
	}
}

// FuzzExport: whatever a client sends as its spans is recorded or refused.
func FuzzExport(f *testing.F) {
	none := []*commonv1.KeyValue{{Key: "no value"}, {Key: "array", Value: &commonv1.AnyValue{Value: &commonv1.AnyValue_ArrayValue{ArrayValue: &commonv1.ArrayValue{Values: []*commonv1.AnyValue{{}}}}}}}
	b, err := proto.Marshal(&tracev1.ExportTraceServiceRequest{ResourceSpans: []*spanv1.ResourceSpans{{
		Resource: &resourcev1.Resource{Attributes: none},
		ScopeSpans: []*spanv1.ScopeSpans{{Spans: []*spanv1.Span{{
			TraceId: []byte("1"), Attributes: none,
			Events: []*spanv1.Span_Event{{Attributes: none}}, Links: []*spanv1.Span_Link{{Attributes: none}},
		}}}},
	}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	r := New()
	f.Cleanup(func() { _ = r.Shutdown(context.Background()) })
	f.Fuzz(func(t *testing.T, b []byte) {
		req := &tracev1.ExportTraceServiceRequest{}
		if proto.Unmarshal(b, req) != nil {
			return
		}
		_, err := Complete(t.Context(), req, nil, grpc.UnaryHandler(func(ctx context.Context, req any) (any, error) {
			return nil, r.ExportSpans(ctx, transform.Spans(req.(*tracev1.ExportTraceServiceRequest).GetResourceSpans()))
		}))
		if err != nil {
			t.Error(err)
		}
	})
}
