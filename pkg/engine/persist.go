package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
)

// behind is how long a record that nobody waits for may stay unwritten.
const behind = 20 * time.Millisecond

// persister writes records on one goroutine: those that somebody waits for at
// once, all that are due in one transaction, always with the newest state. One
// writer means that an older state can never overwrite a newer one.
type persister struct {
	store   Store
	find    func(id string) *unit
	log     *slog.Logger
	asks    chan ask
	done    chan struct{}
	waiters []chan error // of the next flush; the goroutine's own
}

type ask struct {
	id     string
	answer chan error // nil: written behind
}

func newPersister(s Store, find func(string) *unit, log *slog.Logger) *persister {
	p := &persister{store: s, find: find, log: log, asks: make(chan ask, 64), done: make(chan struct{})}
	go p.run()
	return p
}

// later has the record written soon.
func (p *persister) later(id string) { p.asks <- ask{id: id} }

// save returns when the record is on disk.
func (p *persister) save(ctx context.Context, id string) error {
	answer := make(chan error, 1)
	p.asks <- ask{id, answer}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close writes what is behind. Nothing may be asked for afterwards.
func (p *persister) close() {
	close(p.asks)
	<-p.done
}

func (p *persister) run() {
	defer close(p.done)
	dirty := map[string]bool{}
	var due <-chan time.Time
	for {
		select {
		case a, open := <-p.asks:
			if !open {
				p.flush(dirty)
				return
			}
			p.note(dirty, a)
			p.drain(dirty)
			if len(p.waiters) > 0 {
				p.flush(dirty)
				due = nil
			} else if due == nil {
				due = time.After(behind)
			}
		case <-due:
			p.flush(dirty)
			due = nil
		}
	}
}

func (p *persister) note(dirty map[string]bool, a ask) {
	dirty[a.id] = true
	if a.answer != nil {
		p.waiters = append(p.waiters, a.answer)
	}
}

// drain takes what else has been asked meanwhile, so that parallel starts share
// one commit.
func (p *persister) drain(dirty map[string]bool) {
	for {
		select {
		case a, open := <-p.asks:
			if !open {
				return
			}
			p.note(dirty, a)
		default:
			return
		}
	}
}

func (p *persister) flush(dirty map[string]bool) {
	records := make(map[string][]byte, len(dirty))
	for id := range dirty {
		u := p.find(id)
		if u == nil {
			continue // removed meanwhile
		}
		v := u.view()
		b, err := container.Encode(v.record, v.status)
		if err != nil {
			p.log.Error("container record cannot be encoded", "container", id, "error", err)
			continue
		}
		records[id] = b
	}
	clear(dirty)
	var err error
	if len(records) > 0 {
		if err = p.store.PutContainers(records); err != nil {
			p.log.Error("container records were not written", "count", len(records), "error", err)
		}
	}
	for _, w := range p.waiters {
		w <- err
	}
	p.waiters = p.waiters[:0]
}
