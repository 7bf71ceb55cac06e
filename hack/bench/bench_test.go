package main

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.in); got != c.want {
			t.Errorf("median of %v is %v", c.in, got)
		}
	}
}

func TestParseEngine(t *testing.T) {
	e, err := parseEngine("a=/bin/x@unix:///run/x.sock")
	if err != nil || e.name != "a" || e.cli != "/bin/x" || e.socket != "/run/x.sock" {
		t.Errorf("got %+v, %v", e, err)
	}
	for _, s := range []string{"", "a", "a=b", "=b@/c", "a=@/c", "a=b@c"} {
		if _, err := parseEngine(s); err == nil {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestEnginesTakeTurns(t *testing.T) {
	a, b := &engine{name: "a"}, &engine{name: "b"}
	r := &report{engines: []*engine{a, b}}
	var order string
	c := benchCase{rounds: 3, warmup: true, sample: func(_ context.Context, e *engine, add adder) error {
		order += e.name
		add("x (ms)", float64(len(order)))
		return nil
	}}
	if err := c.measure(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if order != "ab"+"ab"+"ba"+"ab" {
		t.Errorf("order %q", order)
	}
	if got := r.figures[0].samples[a]; !slices.Equal(got, []float64{3, 6, 7}) {
		t.Errorf("samples of a %v; the warm-up has to be left out", got)
	}
	want := "about\n\n| | a | b | a / b |\n|---|---:|---:|---:|\n| x (ms) | 6.00 | 5.00 | 1.20 |\n"
	if got := r.markdown("about"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestMembers(t *testing.T) {
	all := []process{{1, 0, "init"}, {10, 1, "dockerd"}, {11, 10, "containerd"}, {12, 11, "proxy"},
		{20, 1, "shim\x00-id\x00abc"}, {21, 20, "sleep"}, {30, 1, "shim\x00-id\x00other"}}
	if got := members(all, 10, []string{"abc"}); !slices.Equal(got, []int{10, 11, 12, 20}) {
		t.Errorf("got %v", got)
	}
}

func TestParseProc(t *testing.T) {
	if p, err := parseParent([]byte("12 (a) b) c) S 7 12 12 0")); p != 7 || err != nil {
		t.Errorf("parent %d, %v", p, err)
	}
	if _, err := parseParent([]byte("12 (a")); err == nil {
		t.Error("half a line is accepted")
	}
	if n, err := parsePSS([]byte("00-ff ---p [rollup]\nRss:  9 kB\nPss:   123 kB\nPss_Anon: 5 kB\n")); n != 123 || err != nil {
		t.Errorf("PSS %d, %v", n, err)
	}
	if _, err := parsePSS(nil); err == nil {
		t.Error("an empty file is accepted")
	}
}

func TestEach(t *testing.T) {
	names := numbered("x", 20)
	seen := make(chan string, len(names))
	if err := each(names, 3, func(n string) error { seen <- n; return nil }); err != nil || len(seen) != len(names) {
		t.Errorf("%d of %d, %v", len(seen), len(names), err)
	}
	broken := errors.New("broken")
	if err := each(names, 3, func(n string) error {
		if strings.HasSuffix(n, "7") {
			return broken
		}
		return nil
	}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestParseTicks(t *testing.T) {
	n, err := parseTicks([]byte("7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1 0 5"))
	if n != 200 || err != nil {
		t.Error(n, err)
	}
	if _, err := parseTicks([]byte("7 (a) S 1")); err == nil {
		t.Error("short")
	}
}

// What was measured before an interruption is still told.
func TestMeasureInterrupted(t *testing.T) {
	e := &engine{name: "a"}
	r := &report{engines: []*engine{e}}
	ctx, interrupt := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	err := measure(ctx, options{only: regexp.MustCompile("")}, []benchCase{{name: "slow", rounds: 3,
		sample: func(ctx context.Context, _ *engine, add adder) error {
			if add("slow (ms)", 7); len(r.figures[0].samples[e]) == 2 {
				interrupt(stopped)
			}
			return ctx.Err()
		}}}, r)
	if !errors.Is(err, stopped) || !strings.Contains(r.markdown(""), "| slow (ms) | 7.00 |") {
		t.Errorf("%v\n%s", err, r.markdown(""))
	}
}

func TestTimes(t *testing.T) {
	before, err := parseTimes("cpu  10 1 5 100 4 0 2 0 7 0\ncpu0 1 2 3\n")
	if err != nil || before != (times{busy: 18, all: 122}) {
		t.Errorf("%+v, %v", before, err)
	}
	now, err := parseTimes("cpu  15 1 10 130 4 0 2 0 7 0")
	if err != nil || now.busySince(before) != 0.25 || now.busySince(now) != 0 {
		t.Errorf("%v, %v", now.busySince(before), err)
	}
	for _, bad := range []string{"", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3 4 5 6 7 x"} {
		if _, err := parseTimes(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
