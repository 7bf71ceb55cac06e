package files_test

import (
	"context"
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

func (k kind) readAll(t testing.TB, path string, o record.ReadOptions) []string {
	t.Helper()
	var got []string
	err := k.read(t.Context(), path, o, func(m *record.Message) error {
		got = append(got, strings.TrimSuffix(string(m.Line), "\n"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// expect reads the whole log: the numbers from (inclusive) to (exclusive).
func (k kind) expect(t testing.TB, path string, from, to int) {
	t.Helper()
	got := k.readAll(t, path, everything)
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

func TestReadOptions(t *testing.T) { each(t, readOptions) }

func readOptions(t *testing.T, k kind) {
	for _, opts := range []map[string]string{
		nil,
		{"max-size": "400", "max-file": "50", "compress": "false"},
		{"max-size": "400", "max-file": "50", "compress": "true"},
	} {
		path := filepath.Join(t.TempDir(), "x.log")
		d := k.create(t, path, opts)
		for i := range 100 {
			_ = d.Write([]string{"stdout", "stderr"}[i%2], at.Add(time.Duration(i)*time.Second), fmt.Appendf(nil, "%d\n", i))
			d.AwaitPacked()
		}
		_ = d.Close()
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
			if got := k.readAll(t, path, c.o); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, %s: %q", opts, name, got)
			}
		}
	}
}

func TestReadAbsent(t *testing.T) { each(t, readAbsent) }

func readAbsent(t *testing.T, k kind) {
	for _, path := range []string{filepath.Join(t.TempDir(), "x"), filepath.Join(t.TempDir(), "no", "x")} {
		if got := k.readAll(t, path, everything); got != nil {
			t.Error(got)
		}
		done := make(chan struct{})
		close(done)
		o := everything
		o.Follow, o.Done = true, done
		if got := k.readAll(t, path, o); got != nil {
			t.Error(got)
		}
	}
}

// TestFollowLosesNothing follows a log that is rotated all the time, and that has
// other writers before it, beside it and after it.
func TestFollowLosesNothing(t *testing.T) { each(t, followLosesNothing) }

func followLosesNothing(t *testing.T, k kind) {
	for name, opts := range map[string]map[string]string{
		"no rotation": unbounded[k.name],
		"plain":       {"max-size": "10k", "max-file": "1000", "compress": "false"},
		"compressed":  {"max-size": "10k", "max-file": "1000", "compress": "true"},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 20000
			path := filepath.Join(t.TempDir(), "x.log")
			d := k.create(t, path, opts)
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
			err := k.read(t.Context(), path, o, func(m *record.Message) error {
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

func TestFollowEnds(t *testing.T) { each(t, followEnds) }

func followEnds(t *testing.T, k kind) {
	path := filepath.Join(t.TempDir(), "x.log")
	d := k.create(t, path, nil)
	defer d.Close()
	_ = d.Write("stdout", at, []byte("0\n1\n"))
	o := everything
	o.Follow, o.Tail = true, 1
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	take := func(m *record.Message) error {
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
	if err := k.read(ctx, path, o, take); !errors.Is(err, context.Canceled) || !reflect.DeepEqual(got, []string{"1\n", "2\n"}) {
		t.Errorf("%q, %v", got, err)
	}
	o.Until = time.Now().Add(50 * time.Millisecond)
	if err := k.read(t.Context(), path, o, func(*record.Message) error { return nil }); err != nil {
		t.Error("until:", err)
	}
	o.Until = time.Time{}
	boom := errors.New("boom")
	if err := k.read(t.Context(), path, o, func(*record.Message) error { return boom }); !errors.Is(err, boom) {
		t.Error(err)
	}
}

// BenchmarkRead: MB/s of what the container wrote; the target is 12 ms/MiB = 87 MB/s.
func BenchmarkRead(b *testing.B) {
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) { benchmarkRead(b, k) })
	}
}

func benchmarkRead(b *testing.B, k kind) {
	path := filepath.Join(b.TempDir(), "x.log")
	d := k.create(b, path, unbounded[k.name])
	const batches = 256
	for i := range batches {
		_ = d.Write("stdout", at.Add(time.Duration(i)), benchLines)
	}
	_ = d.Close()
	b.SetBytes(int64(len(benchLines)) * batches)
	for b.Loop() {
		if err := k.read(b.Context(), path, everything, func(*record.Message) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTail: the last 100 of 500,000 lines.
func BenchmarkTail(b *testing.B) {
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) { benchmarkTail(b, k) })
	}
}

func benchmarkTail(b *testing.B, k kind) {
	path := filepath.Join(b.TempDir(), "x.log")
	d := k.create(b, path, unbounded[k.name])
	for range 1000 {
		_ = d.Write("stdout", at, benchLines)
	}
	_ = d.Close()
	o := everything
	o.Tail = 100
	for b.Loop() {
		if err := k.read(b.Context(), path, o, func(*record.Message) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSince: in a file that is large enough to be searched, entries of both outputs
// and, as several writers make them, not quite in order.
func TestSince(t *testing.T) { each(t, since) }

func since(t *testing.T, k kind) {
	path := filepath.Join(t.TempDir(), "x.log")
	d := k.create(t, path, unbounded[k.name])
	const n = 20000
	when := func(i int) time.Time { return at.Add(time.Duration(i) * time.Second) }
	for i := range n {
		j := i ^ 1 // each two of them swapped, half a second apart
		_ = d.Write([]string{"stdout", "stderr"}[i%2], when(j/2).Add(time.Duration(j%2)*500*time.Millisecond), fmt.Appendf(nil, "%d\n", j))
	}
	_ = d.Close()
	for _, i := range []int{0, 1, 2, 1000, n/2 - 1, n / 3, n/2 + 1} {
		o := everything
		o.Since = when(i)
		got := k.readAll(t, path, o)
		want := max(0, n-2*i)
		if len(got) != want {
			t.Errorf("since %d: %d entries, want %d", i, len(got), want)
		}
	}
	// What was last written before is not even opened for its entries.
	old := when(-1)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path+".1", old, old); err != nil {
		t.Fatal(err)
	}
	d = k.create(t, path, unbounded[k.name])
	_ = d.Write("stdout", when(n), []byte("new\n"))
	_ = d.Close()
	o := everything
	o.Since = when(0)
	if got := k.readAll(t, path, o); len(got) != 1 || got[0] != "new" {
		t.Errorf("%d entries", len(got))
	}
}

// FuzzFile: whatever stands in a file, reading it ends without an error, and so it
// does after a writer has mended it. In a file of lines no damage hides what follows.
func FuzzFile(f *testing.F) {
	for _, k := range kinds {
		path := filepath.Join(f.TempDir(), "x.log")
		d := k.create(f, path, nil)
		_ = d.Write("stdout", at, []byte("one\ntwo\n"))
		_ = d.Close()
		whole := []byte(contents(f, path))
		f.Add(whole, 1)
		f.Add(whole[:len(whole)-3], 5)
		f.Add(append(whole, whole[5:]...), -1)
	}
	f.Fuzz(func(t *testing.T, content []byte, tail int) {
		for _, k := range kinds {
			path := filepath.Join(t.TempDir(), "x.log")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			o := everything
			o.Tail = max(-1, tail)
			k.readAll(t, path, o)
			o.Since = at
			k.readAll(t, path, o)
			before := k.readAll(t, path, everything)
			d := k.create(t, path, nil)
			_ = d.Write("stdout", at, []byte("last\n"))
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			after := k.readAll(t, path, everything)
			if k.name == "json-file" && (len(after) == 0 || after[len(after)-1] != "last" || len(after) > len(before)+1) {
				t.Fatalf("%s: %q, then %q", k.name, before, after)
			}
		}
	})
}
