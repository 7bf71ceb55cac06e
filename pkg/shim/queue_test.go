package shim

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

func testQueue(t *testing.T, memory, disk int) *queue {
	t.Helper()
	q := newQueue(t.TempDir())
	q.memory, q.disk = memory, disk
	t.Cleanup(func() { q.fail(errGone) })
	return q
}

// TestQueueKeepsOrder pushes and pops at random through memory and a disk ring
// that wraps many times.
func TestQueueKeepsOrder(t *testing.T) {
	q := testQueue(t, 100, 1000)
	rng := rand.New(rand.NewPCG(1, 2))
	var in, out []byte
	var buf []byte
	var held int
	for range 20000 {
		if n := rng.IntN(60); rng.IntN(2) == 0 && held+n <= 1000 {
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(len(in) + i)
			}
			in = append(in, p...)
			held += n
			if err := q.push(p); err != nil {
				t.Fatal(err)
			}
		} else if held > 0 {
			p, ok := q.pop(buf)
			if !ok {
				t.Fatal(q.err)
			}
			held -= len(p)
			out = append(out, p...)
			buf = p
		}
	}
	q.end()
	for {
		p, ok := q.pop(buf)
		if !ok {
			break
		}
		out = append(out, p...)
		buf = p
	}
	if !bytes.Equal(in, out) {
		t.Fatalf("%d bytes in, %d out", len(in), len(out))
	}
	if q.file != nil {
		t.Error("the disk was not given back")
	}
}

func TestQueueOverrun(t *testing.T) {
	q := testQueue(t, 10, 20)
	for range 3 {
		if err := q.push(make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.push(make([]byte, 1)); !errors.Is(err, errOverrun) {
		t.Error(err)
	}
	if _, ok := q.pop(nil); ok {
		t.Error("something is left of a queue that was given up")
	}
	if e, _ := os.ReadDir(q.dir); len(e) != 0 {
		t.Error("left:", e)
	}
}

func TestQueueWithoutDisk(t *testing.T) {
	q := testQueue(t, 10, 20)
	q.dir = "/nowhere"
	_ = q.push(make([]byte, 10))
	if err := q.push([]byte{1}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestQueuePopWaits(t *testing.T) {
	for name, wake := range map[string]func(*queue){
		"push": func(q *queue) { _ = q.push([]byte("x")) },
		"end":  func(q *queue) { q.end() },
		"fail": func(q *queue) { q.fail(errGone) },
	} {
		q := testQueue(t, 10, 20)
		got := make(chan string)
		go func() {
			p, _ := q.pop(nil)
			got <- string(p)
		}()
		wake(q)
		if s := <-got; (s == "x") != (name == "push") {
			t.Errorf("%s: %q", name, s)
		}
	}
}

func TestFlushes(t *testing.T) {
	f := newFlushes()
	f.wait(t.Context(), time.Hour) // nobody: at once
	done := f.begin()
	f.wait(t.Context(), time.Millisecond) // a client that takes nothing
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		f.wait(t.Context(), time.Hour)
	}()
	done()
	<-waited
}
