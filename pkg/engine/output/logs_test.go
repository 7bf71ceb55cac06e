package output

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ctypes "github.com/moby/moby/api/types/container"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/logs"
	"github.com/berth-engine/berth/pkg/streams"
)

func TestLineWriter(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 700, time.FixedZone("", 3600))
	later := at.Add(time.Second - 700)
	attrs := map[string]string{"b": "2 =", "a": "1"}
	messages := []logs.Message{
		{Line: []byte("one\n"), Source: "stdout", Time: at},
		{Line: []byte("two\n"), Source: "stderr", Time: at, Attrs: attrs},
		{Line: []byte("rest"), Source: "stdout", Time: later},
	}
	for name, c := range map[string]struct {
		tty  bool
		o    LogsOptions
		want string
	}{
		"frames":   {false, LogsOptions{}, "\x01\x00\x00\x00\x00\x00\x00\x04one\n" + "\x02\x00\x00\x00\x00\x00\x00\x04two\n" + "\x01\x00\x00\x00\x00\x00\x00\x04rest"},
		"terminal": {true, LogsOptions{}, "one\ntwo\nrest"},
		"stamps": {true, LogsOptions{Timestamps: true}, "2026-02-03T03:05:06.000000700Z one\n" +
			"2026-02-03T03:05:06.000000700Z two\n" + "2026-02-03T03:05:07.000000000Z rest"},
		"details": {true, LogsOptions{Details: true}, " one\na=1,b=2+%3D two\n rest"},
		"all": {false, LogsOptions{Timestamps: true, Details: true}, "\x01\x00\x00\x00\x00\x00\x00\x242026-02-03T03:05:06.000000700Z  one\n" +
			"\x02\x00\x00\x00\x00\x00\x00\x2f2026-02-03T03:05:06.000000700Z a=1,b=2+%3D two\n" + "\x01\x00\x00\x00\x00\x00\x00\x242026-02-03T03:05:07.000000000Z  rest"},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			l := &lineWriter{w: &got, tty: c.tty, o: c.o}
			for i := range messages {
				if err := l.write(&messages[i]); err != nil || got.Len() > 0 {
					t.Fatalf("%q, %v", got.String(), err)
				}
			}
			if err := l.flush(); err != nil || got.String() != c.want {
				t.Errorf("%q, %v, want %q", got.String(), err, c.want)
			}
		})
	}
}

// TestLineWriterGathers lines of any length, and says so at once when nobody takes them.
func TestLineWriterGathers(t *testing.T) {
	var sizes writes
	l := &lineWriter{w: &sizes}
	line := logs.Message{Line: []byte(strings.Repeat("x", 64)), Source: "stdout"}
	for range 3 * batchSize / (streams.HeaderSize + 64) {
		if err := l.write(&line); err != nil {
			t.Fatal(err)
		}
	}
	long := logs.Message{Line: make([]byte, 1<<20), Source: "stderr"}
	if err := errors.Join(l.write(&long), l.flush(), l.flush()); err != nil {
		t.Fatal(err)
	}
	if len(sizes) != 3 || sizes[0] < batchSize || sizes[2] < 1<<20 {
		t.Errorf("%v", sizes)
	}
	gone := errors.New("gone")
	l = &lineWriter{w: failing{gone}}
	if err := l.write(&long); !errors.Is(err, gone) {
		t.Error(err)
	}
	if err := l.flush(); !errors.Is(err, gone) {
		t.Error(err)
	}
}

type writes []int

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, len(p))
	return len(p), nil
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// told tells of each write.
type told chan string

func (c told) Write(p []byte) (int, error) {
	c <- string(p)
	return len(p), nil
}

// TestFollowGathers: what there is comes in one write, and what is written later when it
// is.
func TestFollowGathers(t *testing.T) {
	for _, driver := range []string{logs.JSONFile, logs.Local} {
		t.Run(driver, func(t *testing.T) {
			log := streams.Log{Driver: driver, Path: filepath.Join(t.TempDir(), "logs", "x")}
			if driver == logs.JSONFile {
				log.Path = filepath.Join(t.TempDir(), "x")
			}
			d, err := logs.Open(log)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if err := d.Write("stdout", time.Now(), []byte("1\n2\n")); err != nil {
				t.Fatal(err)
			}
			over := make(chan struct{})
			v := &unit.View{Record: &container.Record{Config: &ctypes.Config{Tty: true}}, Ended: over}
			out, end := make(told), make(chan error, 1)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			go func() {
				end <- readLog(ctx, log, v, LogsOptions{Stdout: true, Follow: true, Tail: -1}, out)
				close(out)
			}()
			for _, step := range []struct{ more, want string }{{"3\n", "1\n2\n"}, {"4\n5\n", "3\n"}, {"", "4\n5\n"}} {
				if got := <-out; got != step.want {
					t.Errorf("%q, want %q", got, step.want)
				}
				if step.more == "" {
					continue
				}
				if err := d.Write("stdout", time.Now(), []byte(step.more)); err != nil {
					t.Error(err)
				}
			}
			close(over)
			if got, more := <-out; more {
				t.Errorf("%q", got)
			}
			if err := <-end; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestFollowEndsWithItsClient: who does not take the lines any more is noticed when they
// are sent, not when the next ones come.
func TestFollowEndsWithItsClient(t *testing.T) {
	log := streams.Log{Driver: logs.JSONFile, Path: filepath.Join(t.TempDir(), "x")}
	d, err := logs.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Write("stdout", time.Now(), []byte("1\n")); err != nil {
		t.Fatal(err)
	}
	v := &unit.View{Record: &container.Record{Config: &ctypes.Config{}}, Ended: make(chan struct{})}
	gone := errors.New("gone")
	if err := readLog(t.Context(), log, v, LogsOptions{Stdout: true, Follow: true, Tail: -1}, failing{gone}); !errors.Is(err, gone) {
		t.Error(err)
	}
}
