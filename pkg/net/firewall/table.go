package firewall

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/containerd/errdefs"
	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
)

// Table is our table in the kernel. Its methods may be called at the same time;
// changes that arrive while one is under way share the next transaction.
type Table struct {
	desc     table
	cfg      Config
	log      *slog.Logger
	requests chan request
	repair   chan string   // why the table may not be what it should
	foreign  chan struct{} // someone else changed a chain that drops
	stop     chan struct{}
	done     chan struct{}
	portID   atomic.Uint32 // netlink's name for our own transactions

	// The owner goroutine's alone.
	conn    *nftables.Conn
	state   state
	present bool // the kernel has the table as state says
	shared  bool // other processes write it too: it is never rebuilt from state
	monitor *netlink.Conn
	watched chan struct{}
	lock    *lockWatch // nil: changes of iptables-legacy are not seen
}

type request struct {
	make  func(*Table) (delta, error) // by the owner, with the state of then
	reset *state                      // instead: replaces all
	drop  bool                        // instead: deletes the table
	reply chan error
}

var errClosed = errdefs.ErrUnavailable.WithMessage("the firewall was closed")

// Config is what a Table is made of.
type Config struct {
	Name       string
	Forwarding Forwarding
	Log        *slog.Logger
}

// Open begins to keep a table. Nothing is written before Reset. From then on the
// table is put back when others delete from it.
func Open(c Config) (*Table, error) {
	t, err := open(c)
	if err != nil {
		return nil, err
	}
	if err := t.watch(); err != nil {
		return nil, errors.Join(err, t.conn.CloseLasting())
	}
	if t.lock, err = watchLock(lockFile, func() { ask(t.foreign, struct{}{}) }); err != nil {
		t.log.Warn("changes that iptables-legacy makes will not be seen", "error", err)
	}
	go t.run()
	return t, nil
}

// OpenShared opens a table for a process that comes and goes while others use
// the same table, as CNI plugins do. It is made when it is not there.
func OpenShared(c Config) (*Table, error) {
	t, err := open(c)
	if err != nil {
		return nil, err
	}
	t.shared = true
	if err := t.load(); err != nil {
		return nil, errors.Join(err, t.conn.CloseLasting())
	}
	go t.run()
	return t, nil
}

func open(c Config) (*Table, error) {
	t := &Table{
		desc: describe(c.Name), cfg: c, log: c.Log, state: newState(),
		requests: make(chan request), repair: make(chan string, 1), foreign: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	return t, t.dial()
}

// Close stops keeping the table; the kernel goes on with it.
func (t *Table) Close() error {
	close(t.stop)
	<-t.done
	var err error
	if t.monitor != nil {
		err = t.monitor.Close()
		<-t.watched
	}
	if t.lock != nil {
		err = errors.Join(err, t.lock.Close())
	}
	return errors.Join(err, t.conn.CloseLasting())
}

// Reset makes the table contain exactly networks and published, in one
// transaction.
func (t *Table) Reset(ctx context.Context, networks []Network, published map[string][]Mapping) error {
	s := newState()
	for _, n := range networks {
		s.apply(delta{addNet: &n})
	}
	for owner, m := range published {
		d := delta{owner: owner, add: s.expand(m)}
		if err := s.conflict(d); err != nil {
			t.log.Warn("published ports are not restored", "container", owner, "error", err)
			continue
		}
		s.apply(d)
	}
	return t.do(ctx, request{reset: &s})
}

// Drop deletes the table.
func (t *Table) Drop(ctx context.Context) error { return t.do(ctx, request{drop: true}) }

// AddNetwork adds n, or replaces the network of the same bridge.
func (t *Table) AddNetwork(ctx context.Context, n Network) error {
	return t.change(ctx, func(t *Table) (delta, error) {
		d := delta{addNet: &n}
		old, ok := t.state.networks[n.Bridge]
		if ok && t.present && reflect.DeepEqual(old, n) {
			return delta{}, nil // each endpoint's plugin asks for it anew
		}
		if ok {
			d.delNet = &old
		}
		return d, nil
	})
}

// RemoveNetwork forgets the network of bridge. Absent is no error.
func (t *Table) RemoveNetwork(ctx context.Context, bridge string) error {
	return t.change(ctx, func(t *Table) (delta, error) {
		var d delta
		if old, ok := t.state.networks[bridge]; ok {
			d.delNet = &old
		}
		return d, nil
	})
}

// Publish adds mappings of owner. AlreadyExists when a port is another's. What
// the access of the container's network makes of them is seen to here. What owner
// has already it keeps.
func (t *Table) Publish(ctx context.Context, owner string, m []Mapping) error {
	err := t.change(ctx, func(t *Table) (delta, error) {
		d := delta{owner: owner, add: t.state.without(owner, t.state.expand(m))}
		return d, t.state.conflict(d)
	})
	if err == nil && !slices.ContainsFunc(m, func(m Mapping) bool { return m.Link != Link{} }) {
		t.forget(m)
	}
	return err
}

// Unpublish removes all mappings of owner. None is no error.
func (t *Table) Unpublish(ctx context.Context, owner string) error {
	var gone []Mapping
	err := t.change(ctx, func(t *Table) (delta, error) {
		gone = t.state.published[owner]
		return delta{owner: owner, del: gone}, nil
	})
	if err == nil {
		t.forget(gone)
	}
	return err
}

// Published returns the mappings by owner.
func (t *Table) Published(ctx context.Context) (map[string][]Mapping, error) {
	var out map[string][]Mapping
	err := t.change(ctx, func(t *Table) (delta, error) {
		out = maps.Clone(t.state.published)
		return delta{}, nil
	})
	return out, err
}

func (t *Table) change(ctx context.Context, f func(*Table) (delta, error)) error {
	return t.do(ctx, request{make: f})
}

func (t *Table) do(ctx context.Context, r request) error {
	r.reply = make(chan error, 1)
	select {
	case t.requests <- r:
	case <-t.done:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	// Once it is with the owner it happens, and soon: not waiting for it would
	// leave the caller without knowing what to undo.
	return <-r.reply
}

// run is the owner goroutine.
func (t *Table) run() {
	defer close(t.done)
	for {
		select {
		case <-t.stop:
			return
		case why := <-t.repair:
			if !t.present {
				continue
			}
			t.log.Warn("the firewall table is put back", "table", t.desc.Name, "reason", why)
			if err := t.rebuild(); err != nil {
				t.log.Error("putting the firewall table back", "table", t.desc.Name, "error", err)
			}
		case <-t.foreign:
			t.admit()
		case r := <-t.requests:
			t.serve(append([]request{r}, t.waiting()...))
		}
	}
}

// waiting takes the requests that came meanwhile.
func (t *Table) waiting() (more []request) {
	for {
		select {
		case r := <-t.requests:
			more = append(more, r)
		default:
			return more
		}
	}
}

func (t *Table) serve(all []request) {
	var deltas []delta
	var replies []chan error
	flush := func() {
		t.commit(deltas, replies)
		deltas, replies = nil, nil
	}
	for _, r := range all {
		if r.make == nil {
			flush()
			r.reply <- t.whole(r)
			continue
		}
		d, err := r.make(t)
		if err != nil || d.empty() {
			r.reply <- err
			continue
		}
		t.state.apply(d) // the next one sees it; commit reverts on failure
		deltas, replies = append(deltas, d), append(replies, r.reply)
	}
	flush()
}

func (d delta) empty() bool {
	return d.addNet == nil && d.delNet == nil && len(d.add) == 0 && len(d.del) == 0
}

func (t *Table) whole(r request) error {
	defer t.admit()
	if r.reset != nil {
		t.state = *r.reset
		on, _, err := t.prepare()
		if err == nil {
			err = t.rebuild()
		}
		if err == nil {
			err = turnOn(on)
		}
		return err
	}
	t.state, t.present = newState(), false
	t.conn.AddTable(t.desc.Table) // deleting what is not there would be an error
	t.conn.DelTable(t.desc.Table)
	return t.flush()
}

// admit is called when the networks, or a chain of another's that drops, have
// changed.
func (t *Table) admit() {
	admission{table: t.desc.Name, shared: t.shared, log: t.log}.admit(t.state.networks)
}

// prepare notes in state what may be forwarded, and returns what is to be
// turned on once the kernel knows.
func (t *Table) prepare() (on []router, changed bool, err error) {
	on, closed, err := t.cfg.Forwarding.prepare(t.state.networks)
	if err != nil {
		return nil, false, err
	}
	changed = !maps.Equal(closed, t.state.closed)
	t.state.closed = closed
	return on, changed, nil
}
