package logs

import (
	"bytes"
	"errors"
	"log/slog"
	"sync"
)

const (
	// defaultBuffer is Docker's max-buffer-size.
	defaultBuffer = 1 << 20
	// asyncBuffer bounds what fluentd-async keeps in memory. Docker bounds the number
	// of entries alone, and a million of them can be 16 GiB.
	asyncBuffer = 64 << 20
)

// batchSize is how many entries are taken on before their room is given back.
const batchSize = 64

// errFull is a ring that drops.
var errFull = errors.New("log entries are dropped: the buffer is full")

// ring never blocks: a goroutine of its own takes the entries on, and what does not
// fit in the buffer meanwhile is dropped, the newest first, as Docker does.
type ring struct {
	to      sink
	entries int   // may wait; 0 is no bound
	bytes   int64 // of lines may wait
	done    chan struct{}

	mu      sync.Mutex // guards the following
	more    sync.Cond  // on mu: something waits, or closed is set
	waiting []Message
	held    int64
	dropped int   // entries since the last that fitted
	err     error // not told yet
	closed  bool
}

func newRing(to sink, entries int, size int64) *ring {
	r := &ring{to: to, entries: entries, bytes: size, done: make(chan struct{})}
	r.more.L = &r.mu
	go r.run()
	return r
}

func (r *ring) Add(m *Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := int64(len(m.Line))
	if len(r.waiting) > 0 && (r.held+n > r.bytes || r.entries > 0 && len(r.waiting) >= r.entries) {
		if r.dropped++; r.dropped == 1 {
			r.err = errors.Join(r.err, errFull)
		}
		return
	}
	if r.dropped > 0 && len(r.waiting) == 0 { // else it is full again in a moment
		slog.Warn("log entries fit in the buffer again", "dropped", r.dropped)
		r.dropped = 0
	}
	own := *m
	own.Line = bytes.Clone(m.Line)
	r.waiting = append(r.waiting, own)
	r.held += n
	r.more.Signal()
}

// run takes entries on. What is being sent counts as waiting.
func (r *ring) run() {
	defer close(r.done)
	for {
		r.mu.Lock()
		for len(r.waiting) == 0 && !r.closed {
			r.more.Wait()
		}
		batch := r.waiting[:min(len(r.waiting), batchSize)]
		r.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for i := range batch {
			r.to.Add(&batch[i])
		}
		r.taken(batch, r.to.Flush())
	}
}

func (r *ring) taken(batch []Message, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = errors.Join(r.err, err)
	for _, m := range batch {
		r.held -= int64(len(m.Line))
	}
	clear(batch)
	if r.waiting = r.waiting[len(batch):]; len(r.waiting) == 0 {
		r.waiting = nil
	}
}

// Flush returns what went wrong since the last one.
func (r *ring) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.err
	r.err = nil
	return err
}

// Close returns when what waits has been taken.
func (r *ring) Close() error {
	r.mu.Lock()
	r.closed = true
	r.more.Signal()
	r.mu.Unlock()
	<-r.done
	return errors.Join(r.Flush(), r.to.Close())
}
