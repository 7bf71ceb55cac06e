// Package health probes containers that have a health check. What follows from a
// probe is decided by pure functions (decide.go); one goroutine a container runs
// the probes, as execs with a time limit that the shim enforces, and hands the
// results to the container's owner. A container without a check costs nothing.
//
// Status and log are part of the container's status, so they outlive the daemon;
// like Docker's they reach the disk when the status changes, not with each probe.
package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/berth-engine/berth/pkg/engine/unit"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// maxOutput is how much of a probe's output is kept, in bytes.
const maxOutput = 4096

// Config is what New needs; every field is required.
type Config struct {
	// Run executes a command in a container and gives its exit code; what it
	// prints goes to out. After limit it is killed: context.DeadlineExceeded.
	Run func(ctx context.Context, u *unit.Unit, command []string, limit time.Duration, out io.Writer) (int, error)
	// Failed is called after each probe that leaves a container unhealthy, by the
	// goroutine that probes it.
	Failed func(ctx context.Context, u *unit.Unit)
	Writer *unit.Writer
	Events interface{ Publish(events.Message) }
}

// Monitor probes every container that it is told to watch.
type Monitor struct {
	Config
	all    context.Context // of every watch
	cancel context.CancelFunc
	wg     sync.WaitGroup // the watches

	mu      sync.Mutex // guards watches
	watches map[string]context.CancelFunc
}

// New watches nothing yet. Close ends it.
func New(c Config) *Monitor {
	all, cancel := context.WithCancel(context.Background())
	return &Monitor{Config: c, all: all, cancel: cancel, watches: map[string]context.CancelFunc{}}
}

// Watch begins to probe a container that runs, if it has a check.
func (m *Monitor) Watch(u *unit.Unit) {
	s, ok := settingsOf(u.View().Record.Config)
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(m.all)
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.watches[u.ID]; old != nil {
		old()
	}
	m.watches[u.ID] = cancel
	m.wg.Go(func() { m.watch(ctx, u, s) })
}

// Unwatch ends the probing of a container. It does not wait for a probe that is
// under way, whose result will not count.
func (m *Monitor) Unwatch(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if cancel := m.watches[id]; cancel != nil {
		cancel()
		delete(m.watches, id)
	}
}

// Close ends all probing. Probes that run are left to their time limit.
func (m *Monitor) Close() {
	m.cancel()
	m.wg.Wait()
}

func (m *Monitor) watch(ctx context.Context, u *unit.Unit, s settings) {
	for {
		status := u.Status()
		if status.Health == nil {
			return
		}
		t := time.NewTimer(s.pause(status.Health.Status, time.Since(status.StartedAt)))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
		result := m.probe(ctx, u, s)
		unhealthy := false
		err := u.Do(ctx, func(context.Context) error {
			unhealthy = m.note(ctx, u, s, result)
			return nil
		})
		if err != nil {
			return // the watch, or the container, has ended
		}
		if unhealthy {
			m.Failed(ctx, u)
		}
	}
}

// probe runs the check once.
func (m *Monitor) probe(ctx context.Context, u *unit.Unit, s settings) *ctypes.HealthcheckResult {
	r := &ctypes.HealthcheckResult{Start: time.Now()}
	var out Output
	code, err := m.Run(ctx, u, s.command, s.timeout, &out)
	r.End, r.ExitCode, r.Output = time.Now(), code, out.String()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		r.ExitCode = -1
		r.Output = strings.TrimSuffix(fmt.Sprintf("Health check exceeded timeout (%v): %s", s.timeout, out.String()), ": ")
	case err != nil:
		r.ExitCode, r.Output = -1, err.Error()
	}
	return r
}

// note publishes what a probe found, unless the watch has ended meanwhile. It
// reports whether the container is unhealthy. Owner only.
func (m *Monitor) note(ctx context.Context, u *unit.Unit, s settings, r *ctypes.HealthcheckResult) bool {
	status := u.Status()
	if ctx.Err() != nil || status.Health == nil {
		return false
	}
	old := status.Health.Status
	status.Health = s.judge(status.Health, status.StartedAt, r)
	u.Set(status)
	if now := status.Health.Status; now != old {
		m.Writer.Later(u.ID)
		m.Events.Publish(u.Event(events.Action(string(events.ActionHealthStatus)+": "+string(now)), nil))
	}
	return status.Health.Status == ctypes.Unhealthy
}

// Output keeps the beginning of what is written to it.
type Output struct {
	mu   sync.Mutex // guards the rest: a probe that was given up may still print
	text []byte
	cut  bool
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(p), maxOutput-len(o.text))
	o.text = append(o.text, p[:n]...)
	o.cut = o.cut || n < len(p)
	return len(p), nil
}

// String is what was kept; it ends in "..." when that is not all.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cut {
		return string(o.text) + "..."
	}
	return string(o.text)
}
