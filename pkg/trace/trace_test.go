package trace

import (
	"bytes"
	"context"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	oteltrace "go.opentelemetry.io/otel/trace"
)

func enable(t *testing.T) (*bytes.Buffer, func()) {
	t.Helper()
	var out bytes.Buffer
	shutdown := Enable(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(shutdown)
	return &out, shutdown
}

func TestTree(t *testing.T) {
	out, _ := enable(t)
	ctx, end := Start(t.Context(), "start", "id", "abc")
	one, endOne := Start(ctx, "task.create")
	_, endShim := Start(one, "shim")
	endShim()
	_, span := otel.Tracer("another library").Start(one, "ttrpc")
	span.End()
	endOne()
	_, endTwo := Start(ctx, "task.start")
	endTwo()
	if out.Len() > 0 {
		t.Errorf("printed before its end: %s", out)
	}
	end()
	want := regexp.MustCompile(`^time=\S+ level=DEBUG msg=trace request=start took=\S+ id=abc ` +
		`steps="task.create \+\S+ms \S+ms \[shim \+\S+ms \S+ms, ttrpc \+\S+ms \S+ms\], task.start \+\S+ms \S+ms"\n$`)
	if !want.Match(out.Bytes()) {
		t.Errorf("got %s", out)
	}
}

// What others trace by themselves is not ours to print, and a step that ends
// after its request leaves nothing behind.
func TestOnlyOurs(t *testing.T) {
	out, _ := enable(t)
	_, span := otel.Tracer("another library").Start(context.Background(), "gc")
	span.End()
	ctx, end := Start(t.Context(), "start")
	_, late := Start(ctx, "late")
	end()
	late()
	if got := strings.Count(out.String(), "\n"); got != 1 || strings.Contains(out.String(), "late") {
		t.Errorf("got %s", out)
	}
}

func TestBounds(t *testing.T) {
	out, _ := enable(t)
	ctx, end := Start(t.Context(), "many")
	for range 2 * maxSteps {
		_, end := Start(ctx, "x")
		end()
	}
	end()
	if got := strings.Count(out.String(), "x +"); got != maxSteps {
		t.Errorf("%d steps", got)
	}
	var ends []func()
	for range maxTraces + 10 {
		_, end := Start(t.Context(), "open")
		ends = append(ends, end)
	}
	out.Reset()
	for _, end := range ends {
		end()
	}
	if got := strings.Count(out.String(), "request=open"); got != maxTraces {
		t.Errorf("%d requests", got)
	}
}

func TestOff(t *testing.T) {
	out, shutdown := enable(t)
	shutdown()
	ctx, end := Start(t.Context(), "off")
	end()
	if ctx != t.Context() || out.Len() > 0 {
		t.Errorf("it is on: %s", out)
	}
	if oteltrace.SpanFromContext(ctx).IsRecording() {
		t.Error("a span records")
	}
	again, _ := enable(t)
	_, end = Start(t.Context(), "on")
	end()
	if again.Len() == 0 {
		t.Error("it stays off")
	}
}

func TestRenderSorts(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	root, a, b := oteltrace.SpanID{1}, oteltrace.SpanID{2}, oteltrace.SpanID{3}
	got := render(root, at(0), []step{
		{oteltrace.SpanID{4}, b, "inner", at(7), at(8)},
		{b, root, "second", at(5), at(9)},
		{a, root, "first", at(1), at(5)},
	})
	if want := "first +1.0ms 4.0ms, second +5.0ms 4.0ms [inner +7.0ms 1.0ms]"; got != want {
		t.Errorf("got %s", got)
	}
}

func BenchmarkOff(b *testing.B) {
	ctx := b.Context()
	for b.Loop() {
		_, end := Start(ctx, "x", "id", "abc")
		end()
	}
}
