package logs

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/pkg/streams"
)

// read gives the lines of a log.
func read(t *testing.T, log streams.Log) (lines []string) {
	t.Helper()
	err := Read(t.Context(), log, ReadOptions{Tail: -1, Stdout: true, Stderr: true}, func(m *Message) error {
		lines = append(lines, strings.TrimSuffix(string(m.Line), "\n"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func mustOpen(t *testing.T, log streams.Log) Driver {
	t.Helper()
	d, err := Open(log)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestFileDrivers: each mode of each driver that keeps files.
func TestFileDrivers(t *testing.T) {
	for _, driver := range []string{JSONFile, Local} {
		for _, mode := range []string{"", "blocking", "non-blocking"} {
			log := streams.Log{
				Driver: driver, Path: Path(t.TempDir(), "x", driver, nil), Attrs: map[string]string{"a": "b"}, Tag: "the tag",
				Options: map[string]string{"mode": mode, "tag": "{{.Name}}"},
			}
			d := mustOpen(t, log)
			if err := errors.Join(d.Write("stdout", time.Now(), []byte("hi\nthe")), d.Write("stdout", time.Now(), []byte("re")), d.Close()); err != nil {
				t.Fatal(err)
			}
			if got := read(t, log); !reflect.DeepEqual(got, []string{"hi", "there"}) {
				t.Errorf("%s %s: %q", driver, mode, got)
			}
			_ = Read(t.Context(), log, ReadOptions{Tail: 1, Stdout: true}, func(m *Message) error {
				if !reflect.DeepEqual(m.Attrs, map[string]string{"a": "b", "tag": "the tag"}) || string(m.Line) != "there" {
					t.Errorf("%+v", m)
				}
				return nil
			})
		}
	}
}

func TestNotReadable(t *testing.T) {
	for _, log := range []streams.Log{{Driver: None}, {}, {Driver: Syslog}} {
		err := Read(t.Context(), log, ReadOptions{}, nil)
		if !errdefs.IsNotImplemented(err) || err.Error() != "configured logging driver does not support reading" {
			t.Error(log, err)
		}
	}
	for opt, want := range map[string]string{"": "/d/container-cached.log", "false": "/d/container-cached.log", "true": ""} {
		if got := Path("/d", "x", Fluentd, map[string]string{"cache-disabled": opt}); got != want {
			t.Errorf("%q: %q, want %q", opt, got, want)
		}
	}
}

// server is a syslog server that takes nothing until it is told to.
func server(t *testing.T, opts map[string]string) (net.Listener, streams.Log) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	opts["syslog-address"] = "tcp://" + l.Addr().String()
	return l, streams.Log{Driver: Syslog, Options: opts, Path: filepath.Join(t.TempDir(), "container-cached.log")}
}

// flood is more than sockets hold.
func flood() (chunk []byte, chunks int) {
	return []byte(strings.Repeat(strings.Repeat("x", 1000)+"\n", 30)), 1000
}

// TestStuckServer: in blocking mode the writer waits, with all that it was given in
// the local copy, until Stop.
func TestStuckServer(t *testing.T) {
	l, log := server(t, map[string]string{"cache-max-size": "1g"})
	d := mustOpen(t, log)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	chunk, n := flood()
	written := make(chan int, n)
	go func() {
		defer close(written)
		for i := range n {
			_ = d.Write("stdout", time.Now(), chunk)
			written <- i
		}
	}()
	await(t, "a write that waits", func() bool {
		before := len(read(t, log))
		return len(written)*30+30 == before && before > 30
	})
	d.Stop()
	for range written {
	}
	if err := d.Close(); err != nil && !strings.Contains(err.Error(), "dropped until syslog can be reached") {
		t.Error(err)
	}
	if got := len(read(t, log)); got != 30*n {
		t.Errorf("%d lines in the local copy, want %d", got, 30*n)
	}
}

// await polls, because what it waits for is that nothing happens.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit, tick := time.After(time.Minute), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("never: " + what)
		}
	}
}

// TestNonBlocking: the writer never waits; what the buffer holds arrives when the
// server goes on, what it does not hold is dropped, and that is said.
func TestNonBlocking(t *testing.T) {
	l, log := server(t, map[string]string{"mode": "non-blocking", "max-buffer-size": "100k", "cache-disabled": "true"})
	log.Path = ""
	d := mustOpen(t, log)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	chunk, n := flood()
	said := 0
	for range n {
		if err := d.Write("stdout", time.Now(), chunk); errors.Is(err, errFull) {
			said++
		}
	}
	if said == 0 {
		t.Error("nothing was said")
	}
	received := make(chan int)
	go func() {
		b, _ := io.ReadAll(conn)
		received <- strings.Count(string(b), "\n")
	}()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if got := <-received; got < 100 || got >= 30*n {
		t.Errorf("%d lines arrived", got)
	}
}

// TestRingKeepsOrder: all that fits arrives, in order.
func TestRingKeepsOrder(t *testing.T) {
	var got []string
	to := &fake{add: func(m *Message) { got = append(got, string(m.Line)) }}
	r := newRing(to, 0, 1<<20)
	var want []string
	for i := range 1000 {
		line := []byte(fmt.Sprint(i))
		want = append(want, string(line))
		r.Add(&Message{Line: line})
		copy(line, "xxxx") // its own now
	}
	if err := r.Close(); err != nil || !to.closed || !reflect.DeepEqual(got, want) {
		t.Errorf("%d entries, %v", len(got), err)
	}
}

// TestRingBounds: by entries, and one that is larger than the whole buffer is taken
// when nothing waits.
func TestRingBounds(t *testing.T) {
	hold := make(chan struct{})
	to := &fake{add: func(*Message) { <-hold }}
	r := newRing(to, 2, 10)
	r.Add(&Message{Line: make([]byte, 100)})
	for range 5 {
		r.Add(&Message{Line: []byte("x")})
	}
	if len(r.waiting) != 1 || r.dropped != 5 {
		t.Error(len(r.waiting), r.dropped)
	}
	if err := r.Flush(); !errors.Is(err, errFull) || r.Flush() != nil {
		t.Error(err)
	}
	close(hold)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

type fake struct {
	add    func(*Message)
	closed bool
}

func (f *fake) Add(m *Message) { f.add(m) }
func (f *fake) Flush() error   { return nil }
func (f *fake) Close() error   { f.closed = true; return nil }

// TestRemoteSaysOnce: the first of a row of losses.
func TestRemoteSaysOnce(t *testing.T) {
	s := &failing{err: errors.New("down")}
	r := &remote{to: s, name: "x"}
	var said []string
	for i := range 6 {
		if i == 3 {
			s.err = nil
		}
		if i == 4 {
			s.err = errors.New("down again")
		}
		r.Add(&Message{})
		if err := r.Flush(); err != nil {
			said = append(said, err.Error())
		}
	}
	if want := []string{"log entries are dropped until x can be reached: down", "log entries are dropped until x can be reached: down again"}; !reflect.DeepEqual(said, want) {
		t.Errorf("%q", said)
	}
}

type failing struct{ err error }

func (f *failing) Send(*Message) error { return f.err }
func (f *failing) Close() error        { return nil }

// TestNoServer: the container does not start.
func TestNoServer(t *testing.T) {
	l, log := server(t, map[string]string{})
	_ = l.Close()
	if _, err := Open(log); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Error(err)
	}
	log.Driver, log.Options = Journald, nil
	if _, err := Open(log); err == nil || err.Error() != "journald is not enabled on this host" {
		t.Error(err)
	}
}
