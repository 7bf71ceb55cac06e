// Package stats tells what containers use: Docker's fields, by Docker's
// formulas, read from the files of the container's cgroup and of its network
// namespace. A container that is looked at has one sampler, however many
// clients look; nothing runs while none does.
package stats

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

// interval is Docker's time between two samples.
const interval = time.Second

// Options are those of GET /containers/{id}/stats.
type Options struct {
	Stream  bool // a sample each second until the client or the container is gone
	OneShot bool // one sample at once, without the one before
}

// Config is what New needs; every field is required.
type Config struct {
	Units   *unit.Registry
	Cgroup2 bool // unified hierarchy
	Logger  *slog.Logger
}

// Stats samples containers.
type Stats struct {
	units *unit.Registry
	log   *slog.Logger
	read  func(v *unit.View) (ctypes.StatsResponse, error)
	kills func(v *unit.View) (uint64, error)

	mu       sync.Mutex // guards samplers and closed
	samplers map[string]*sampler
	closed   bool
	work     sync.WaitGroup
}

// sampler serves all clients that look at one container.
type sampler struct {
	clients map[chan ctypes.StatsResponse]struct{} // guarded by Stats.mu
	stop    context.CancelFunc
}

// New has no samplers; Close ends those that came.
func New(c Config) *Stats {
	r := newReader(c.Cgroup2)
	return &Stats{units: c.Units, log: c.Logger, read: r.sample, kills: r.oomKills, samplers: map[string]*sampler{}}
}

// Close ends all streams.
func (s *Stats) Close() {
	s.mu.Lock()
	s.closed = true
	for _, p := range s.samplers {
		p.stop()
	}
	s.mu.Unlock()
	s.work.Wait()
}

// Send gives samples to send: with Stream, one a second until ctx ends, the
// container is removed or send fails; else one. A sample holds the CPU usage of
// the one before it, except the first of a stream and that of OneShot. One of a
// container that does not run holds nothing.
func (s *Stats) Send(ctx context.Context, ref string, o Options, send func(ctypes.StatsResponse) error) error {
	u, err := s.units.Find(ref)
	if err != nil {
		return err
	}
	switch {
	case o.Stream && o.OneShot:
		return errdefs.ErrInvalidArgument.WithMessage("cannot have stream=true and one-shot=true")
	case !o.Stream && !u.Status().Live():
		return send(empty(u.View()))
	case o.OneShot:
		one, err := s.sample(u)
		if err != nil {
			return err
		}
		return send(one)
	}
	in, leave, err := s.join(u)
	if err != nil {
		return err
	}
	defer leave()
	var last ctypes.StatsResponse
	for {
		select {
		case now, open := <-in:
			if !open {
				return nil
			}
			now.PreRead, now.PreCPUStats = last.Read, last.CPUStats
			// Without a stream the first sample is only what the second is
			// compared with.
			first := last.ID == ""
			last = now
			if !o.Stream && first {
				continue
			}
			if err := send(now); err != nil || !o.Stream {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// join adds a client to the container's sampler. Its channel is closed when
// there will be no more samples.
func (s *Stats) join(u *unit.Unit) (<-chan ctypes.StatsResponse, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, errdefs.ErrUnavailable.WithMessage("the engine is shutting down")
	}
	p := s.samplers[u.ID]
	if p == nil {
		ctx, stop := context.WithCancel(context.Background())
		p = &sampler{clients: map[chan ctypes.StatsResponse]struct{}{}, stop: stop}
		s.samplers[u.ID] = p
		s.work.Go(func() {
			defer stop()
			// The error is that nobody waits any more.
			_, _ = u.Until(ctx, func(v *unit.View) bool { return v.Status.Gone() && s.units.Get(u.ID) == nil })
		})
		s.work.Go(func() { s.run(ctx, u, p) })
	}
	c := make(chan ctypes.StatsResponse, 1)
	p.clients[c] = struct{}{}
	return c, func() { s.leave(u.ID, p, c) }, nil
}

func (s *Stats) leave(id string, p *sampler, c chan ctypes.StatsResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(p.clients, c)
	if len(p.clients) == 0 {
		s.dropLocked(id, p)
	}
}

func (s *Stats) dropLocked(id string, p *sampler) {
	p.stop()
	if s.samplers[id] == p {
		delete(s.samplers, id)
	}
}

// run samples until ctx ends.
func (s *Stats) run(ctx context.Context, u *unit.Unit, p *sampler) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	defer s.end(u.ID, p)
	for {
		now, err := s.sample(u)
		if err != nil {
			s.log.Error("container cannot be measured", "container", u.ID, "error", err)
			return
		}
		s.publish(p, now)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// end tells the clients that no more will come.
func (s *Stats) end(id string, p *sampler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range p.clients {
		close(c)
	}
	clear(p.clients)
	s.dropLocked(id, p)
}

// publish gives a sample to every client. One that has not taken the last gets
// the newer in its place.
func (s *Stats) publish(p *sampler, now ctypes.StatsResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range p.clients {
		select {
		case <-c:
		default:
		}
		c <- now
	}
}

// sample measures a container now. One that ended meanwhile has nothing.
func (s *Stats) sample(u *unit.Unit) (ctypes.StatsResponse, error) {
	v := u.View()
	if !v.Status.Live() {
		return empty(v), nil
	}
	now, err := s.read(v)
	// What was read may be of nobody, or of another process with its number.
	if after := u.View(); !after.Status.Live() || after.Status.Pid != v.Status.Pid {
		return empty(after), nil
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return empty(v), nil // it has ended, which we shall learn of
	}
	return now, err
}

// empty is the sample of a container that does not run.
func empty(v *unit.View) ctypes.StatsResponse {
	return ctypes.StatsResponse{ID: v.Record.ID, Name: "/" + v.Record.Name, OSType: "linux"}
}
