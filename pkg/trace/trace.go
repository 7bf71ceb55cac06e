// Package trace makes the steps of a request visible: spans over OpenTelemetry
// that, once enabled, are logged as one readable line per request.
//
// While it is not enabled a span costs one atomic load.
package trace

import (
	"context"
	"log/slog"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// scope names our spans. Other libraries' spans appear inside of ours only.
const scope = "github.com/berth-engine/berth"

// tracer is nil while tracing is off.
var tracer atomic.Pointer[oteltrace.Tracer]

func off() {}

// Start begins a step and returns the context for what happens inside of it
// and the function that ends it. attrs are names and values in turn.
//
//	ctx, end := trace.Start(ctx, "runtime.snapshot", "id", id)
//	defer end()
func Start(ctx context.Context, name string, attrs ...string) (context.Context, func()) {
	t := tracer.Load()
	if t == nil {
		return ctx, off
	}
	ctx, span := (*t).Start(ctx, name)
	for i := 0; i+1 < len(attrs); i += 2 {
		span.SetAttributes(attribute.String(attrs[i], attrs[i+1]))
	}
	return ctx, func() { span.End() }
}

// Enable logs every request from now on at debug level. shutdown turns it off
// again. It is for the whole process, as OpenTelemetry's provider is.
func Enable(logger *slog.Logger) (shutdown func()) {
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(resource.Empty()), // the default one runs detectors
		sdktrace.WithSpanProcessor(newPrinter(logger)),
	)
	otel.SetTracerProvider(provider) // containerd's and net/http's own spans join ours
	t := provider.Tracer(scope)
	tracer.Store(&t)
	return func() {
		tracer.Store(nil)
		otel.SetTracerProvider(noop.NewTracerProvider())
		_ = provider.Shutdown(context.Background()) // the printer's cannot fail
	}
}
