package jsonfile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/logs/record"
)

var everything = record.ReadOptions{Tail: -1, Stdout: true, Stderr: true}

func readAll(t testing.TB, path string, o record.ReadOptions) []string {
	t.Helper()
	var got []string
	err := Read(t.Context(), path, o, func(m *record.Message) error {
		got = append(got, strings.TrimSuffix(string(m.Line), "\n"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// expect reads the whole log: the numbers from (inclusive) to (exclusive).
func expect(t testing.TB, path string, from, to int) {
	t.Helper()
	got := readAll(t, path, everything)
	if len(got) != to-from {
		t.Fatalf("%d entries, want %d: %.200q", len(got), to-from, got)
	}
	for i, s := range got {
		if s != strconv.Itoa(from+i) {
			t.Fatalf("entry %d is %q", i, s)
		}
	}
}

func numbers(from, to int) (s []string) {
	for i := from; i < to; i++ {
		s = append(s, strconv.Itoa(i))
	}
	return s
}

func TestReadOptions(t *testing.T) {
	for _, opts := range []map[string]string{
		nil,
		{"max-size": "400", "max-file": "50"},
		{"max-size": "400", "max-file": "50", "compress": "true"},
	} {
		path := filepath.Join(t.TempDir(), "x-json.log")
		d := open(t, path, opts, nil)
		for i := range 100 {
			_ = d.Write([]string{"stdout", "stderr"}[i%2], at.Add(time.Duration(i)*time.Second), fmt.Appendf(nil, "%d\n", i))
			d.pack.wait()
		}
		d.Close()
		for name, c := range map[string]struct {
			o    record.ReadOptions
			want []string
		}{
			"all":      {everything, numbers(0, 100)},
			"tail 1":   {record.ReadOptions{Tail: 1, Stdout: true, Stderr: true}, numbers(99, 100)},
			"tail 0":   {record.ReadOptions{Tail: 0, Stdout: true, Stderr: true}, nil},
			"tail 37":  {record.ReadOptions{Tail: 37, Stdout: true, Stderr: true}, numbers(63, 100)},
			"tail all": {record.ReadOptions{Tail: 1000, Stdout: true, Stderr: true}, numbers(0, 100)},
			"stderr":   {record.ReadOptions{Tail: 2, Stderr: true}, numbers(99, 100)},
			"since":    {record.ReadOptions{Tail: -1, Stdout: true, Stderr: true, Since: at.Add(90 * time.Second)}, numbers(90, 100)},
			"until":    {record.ReadOptions{Tail: -1, Stdout: true, Stderr: true, Until: at.Add(9 * time.Second)}, numbers(0, 10)},
			"none":     {record.ReadOptions{Tail: -1}, nil},
		} {
			if got := readAll(t, path, c.o); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, %s: %q", opts, name, got)
			}
		}
	}
}

func TestReadAbsent(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "no", "x")} {
		if got := readAll(t, path, everything); got != nil {
			t.Error(got)
		}
		done := make(chan struct{})
		close(done)
		o := everything
		o.Follow, o.Done = true, done
		if got := readAll(t, path, o); got != nil {
			t.Error(got)
		}
	}
}

func TestReadPassesOverDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	entry := func(s string) string {
		return string(appendEntry(nil, []byte(s), true, appendTail(nil, "stdout", nil, at)))
	}
	damage := "{\"log\":\"half\n\n\x00\x00\x00\n" + `{"log":"no time","stream":"stdout"}` + "\n" + strings.Repeat("x", maxLine+blockSize) + "\n"
	foreign := `{"time":"2026-02-03T04:05:06Z", "stream":"stdout", "log":"2\n"}` + "\n"
	if err := os.WriteFile(path, []byte(entry("0")+damage+entry("1")+foreign+`{"log":"torn`), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, path, 0, 3)
}

// TestFollowLosesNothing follows a log that is rotated all the time, and that has
// other writers before it, beside it and after it.
func TestFollowLosesNothing(t *testing.T) {
	for name, opts := range map[string]map[string]string{
		"no rotation": {"max-size": "-1"},
		"plain":       {"max-size": "10k", "max-file": "1000"},
		"compressed":  {"max-size": "10k", "max-file": "1000", "compress": "true"},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 20000
			path := filepath.Join(t.TempDir(), "x-json.log")
			d := open(t, path, opts, nil)
			done := make(chan struct{})
			started := make(chan struct{})
			go func() {
				defer close(done)
				for i := 0; i < n; i++ {
					if i == 50 {
						<-started // the reader is in the middle
					}
					_ = d.Write("stdout", time.Now(), fmt.Appendf(nil, "%d\n", i))
				}
				_ = d.Close()
			}()
			o := everything
			o.Follow, o.Done = true, done
			next := 0
			err := Read(t.Context(), path, o, func(m *record.Message) error {
				if string(m.Line) != strconv.Itoa(next)+"\n" {
					return fmt.Errorf("got %q, want %d", m.Line, next)
				}
				if next++; next == 50 {
					close(started)
				}
				return nil
			})
			if err != nil || next != n {
				t.Fatalf("%d read: %v", next, err)
			}
		})
	}
}

func TestFollowEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x-json.log")
	d := open(t, path, nil, nil)
	defer d.Close()
	_ = d.Write("stdout", at, []byte("0\n1\n"))
	o := everything
	o.Follow, o.Tail = true, 1
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	each := func(m *record.Message) error {
		got = append(got, string(m.Line))
		switch len(got) {
		case 1:
			// Emptied by hand, as people do, and written again.
			if err := os.Truncate(path, 0); err != nil {
				t.Error(err)
			}
			_ = d.Write("stdout", at, []byte("2\n"))
		case 2:
			cancel()
		}
		return nil
	}
	if err := Read(ctx, path, o, each); !errors.Is(err, context.Canceled) || !reflect.DeepEqual(got, []string{"1\n", "2\n"}) {
		t.Errorf("%q, %v", got, err)
	}
	o.Until = time.Now().Add(50 * time.Millisecond)
	if err := Read(t.Context(), path, o, func(*record.Message) error { return nil }); err != nil {
		t.Error("until:", err)
	}
	o.Until = time.Time{}
	boom := errors.New("boom")
	if err := Read(t.Context(), path, o, func(*record.Message) error { return boom }); !errors.Is(err, boom) {
		t.Error(err)
	}
}

func TestDecodeAttributes(t *testing.T) {
	var d decoder
	for _, attrs := range []map[string]string{{"a": `1"}`, "b": "<"}, {"a": `1"}`, "b": "<"}, nil, {"c": "3"}} {
		a, _ := attributes(attrs)
		line := appendEntry(nil, []byte("x"), true, appendTail(nil, "stderr", a, at))
		if !d.fast(line) {
			t.Fatalf("slow: %s", line)
		}
		if m := d.msg; !reflect.DeepEqual(m.Attrs, attrs) || m.Source != "stderr" || !m.Time.Equal(at) || string(m.Line) != "x\n" {
			t.Errorf("%+v", m)
		}
	}
}

// FuzzDecode: whatever the fast decoder takes, encoding/json takes with the same result.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"log":"a\n","stream":"stdout","attrs":{"a":"}\""},"time":"2026-02-03T04:05:06.789Z"}`))
	f.Add([]byte(`{"log":"\u00e4\ud834\udd1e\t\/","stream":"stderr","time":"2026-02-03T04:05:06Z"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var d decoder
		if !d.fast(line) {
			_, _ = d.decode(line)
			return
		}
		var e struct {
			Log    string            `json:"log"`
			Stream string            `json:"stream"`
			Attrs  map[string]string `json:"attrs"`
			Time   time.Time         `json:"time"`
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		m := d.msg
		if string(m.Line) != e.Log || m.Source != e.Stream || !m.Time.Equal(e.Time) || len(m.Attrs) != len(e.Attrs) || len(e.Attrs) > 0 && !reflect.DeepEqual(m.Attrs, e.Attrs) {
			t.Fatalf("%q: %+v, json has %+v", line, m, e)
		}
	})
}

// FuzzRoundTrip: what is written is read, but for invalid UTF-8.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("a\x00<\u2028\xff\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		line := appendEntry(nil, p, false, appendTail(nil, "stdout", nil, at))
		var d decoder
		m, err := d.decode(line)
		if want := bytes.ToValidUTF8(p, []byte("\ufffd")); err != nil || !json.Valid(line) || len(p) < 100 && !bytes.Equal(m.Line, want) && !bytes.ContainsRune(m.Line, '\ufffd') {
			t.Fatalf("%q became %q, %v", p, m.Line, err)
		}
	})
}

// BenchmarkRead: MB/s of what the container wrote; the target is 12 ms/MiB = 87 MB/s.
func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x-json.log")
	d := open(b, path, map[string]string{"max-size": "-1"}, nil)
	const batches = 256
	for i := range batches {
		_ = d.Write("stdout", at.Add(time.Duration(i)), benchLines)
	}
	d.Close()
	b.SetBytes(int64(len(benchLines)) * batches)
	for b.Loop() {
		if err := Read(b.Context(), path, everything, func(*record.Message) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTail: the last 100 of 500,000 lines.
func BenchmarkTail(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x-json.log")
	d := open(b, path, map[string]string{"max-size": "-1"}, nil)
	for range 1000 {
		_ = d.Write("stdout", at, benchLines)
	}
	d.Close()
	o := everything
	o.Tail = 100
	for b.Loop() {
		if err := Read(b.Context(), path, o, func(*record.Message) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
