package unit

import (
	"context"
	"log/slog"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
)

// behind is how long a record that nobody waits for may stay unwritten.
const behind = 20 * time.Millisecond

// Writer writes records on one goroutine: those that somebody waits for at
// once, all that are due in one transaction, always with the newest state. One
// writer means that an older state can never overwrite a newer one.
type Writer struct {
	store   Store
	find    func(id string) *Unit
	log     *slog.Logger
	asks    chan ask
	done    chan struct{}
	waiters []chan error // of the next flush; the goroutine's own
}

// Store keeps records.
type Store interface {
	PutContainers(records map[string][]byte) error // those that exist
}

type ask struct {
	id     string
	write  func() error // instead of the record; with an answer
	answer chan error   // nil: written behind
}

// NewWriter starts the goroutine, which Close ends. find gives the container of
// an ID, nil when it was removed meanwhile.
func NewWriter(s Store, find func(id string) *Unit, log *slog.Logger) *Writer {
	w := &Writer{store: s, find: find, log: log, asks: make(chan ask, 64), done: make(chan struct{})}
	go w.run()
	return w
}

// Later has the record written soon.
func (w *Writer) Later(id string) { w.asks <- ask{id: id} }

// Save returns when the record is on disk.
func (w *Writer) Save(ctx context.Context, id string) error {
	answer := make(chan error, 1)
	w.asks <- ask{id: id, answer: answer}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Do has f write a record. No older state of it is written afterwards, provided
// that f publishes what it wrote.
func (w *Writer) Do(f func() error) error {
	answer := make(chan error, 1)
	w.asks <- ask{write: f, answer: answer}
	return <-answer
}

// Close writes what is behind. Nothing may be asked for afterwards.
func (w *Writer) Close() {
	close(w.asks)
	<-w.done
}

func (w *Writer) run() {
	defer close(w.done)
	dirty := map[string]bool{}
	var due <-chan time.Time
	for {
		select {
		case a, open := <-w.asks:
			if !open {
				w.flush(dirty)
				return
			}
			w.note(dirty, a)
			w.drain(dirty)
			if len(w.waiters) > 0 {
				w.flush(dirty)
				due = nil
			} else if due == nil && len(dirty) > 0 {
				due = time.After(behind)
			}
		case <-due:
			w.flush(dirty)
			due = nil
		}
	}
}

func (w *Writer) note(dirty map[string]bool, a ask) {
	if a.write != nil {
		a.answer <- a.write()
		return
	}
	dirty[a.id] = true
	if a.answer != nil {
		w.waiters = append(w.waiters, a.answer)
	}
}

// drain takes what else has been asked meanwhile, so that parallel starts share
// one commit.
func (w *Writer) drain(dirty map[string]bool) {
	for {
		select {
		case a, open := <-w.asks:
			if !open {
				return
			}
			w.note(dirty, a)
		default:
			return
		}
	}
}

// flush writes what is dirty. What the store refused stays so, and is in the
// next attempt.
func (w *Writer) flush(dirty map[string]bool) {
	records := make(map[string][]byte, len(dirty))
	var err error
	for id := range dirty {
		u := w.find(id)
		if u == nil {
			delete(dirty, id) // removed meanwhile
			continue
		}
		v := u.View()
		b, encErr := container.Encode(v.Record, v.Status)
		if encErr != nil { // nor will it be the next time
			w.log.Error("container record cannot be encoded", "container", id, "error", encErr)
			delete(dirty, id)
			err = encErr
			continue
		}
		records[id] = b
	}
	if len(records) > 0 {
		if putErr := w.store.PutContainers(records); putErr != nil {
			w.log.Error("container records were not written", "count", len(records), "error", putErr)
			err = putErr
		} else {
			clear(dirty)
		}
	}
	for _, waiter := range w.waiters {
		waiter <- err
	}
	w.waiters = w.waiters[:0]
}
