package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// benchCase is a group of figures that are measured together.
type benchCase struct {
	name   string
	rounds int
	warmup bool // one more round comes first and is thrown away
	// before and after may be nil. sample takes one sample of each figure.
	before, after func(ctx context.Context, e *engine) error
	sample        func(ctx context.Context, e *engine, add adder) error
}

// adder takes a sample: in ms or MiB, as the figure's name says.
type adder func(figure string, value float64)

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// measure lets the engines take turns; the one that begins changes with each round.
func (c benchCase) measure(ctx context.Context, r *report) error {
	if c.before != nil {
		for _, e := range r.engines {
			if err := c.before(ctx, e); err != nil {
				return err
			}
		}
	}
	first := 0
	if c.warmup {
		first = -1
	}
	for round := first; round < c.rounds; round++ {
		for i := range r.engines {
			e := r.engines[(i+max(round, 0))%len(r.engines)]
			add := func(figure string, v float64) {
				if round >= 0 {
					r.add(figure, e, v)
				}
			}
			if err := settle(ctx); err != nil {
				return err
			}
			if err := c.sample(ctx, e, add); err != nil {
				return err
			}
		}
	}
	if c.after != nil {
		for _, e := range r.engines {
			if err := c.after(ctx, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// cases returns all that is measured, in the order of the table.
func cases(o options, dir string) []benchCase {
	// Memory is first: daemons that have just started are idle.
	return []benchCase{
		memoryCase(), listCase(o), runCase(o, "run --rm, bridge"),
		runCase(o, "run --rm, --network none", "--network", "none"),
		runCase(o, "run --rm, --network host", "--network", "host"),
		runCase(o, "run --rm, one published port", "-p", "80"),
		execCase(o), lifecycleCase(o), parallelCase(o),
		endpointCase(o, 0), endpointCase(o, o.beside), portsCase(o, 1000), portsCase(o, 8000),
		logCase(o), buildCase(o),
		imageCase(o, dir, 10, o.imageMiB), imageCase(o, dir, 60, max(1, o.imageMiB/10)),
		statsCase(),
		filesCase(o, dir),
	}
}

func runCase(o options, name string, flags ...string) benchCase {
	args := append(append([]string{"run", "--rm", "--name", prefix + "run"}, flags...), image, "true")
	return benchCase{name: name, rounds: o.rounds, warmup: true,
		sample: func(ctx context.Context, e *engine, add adder) error {
			_, took, err := e.run(ctx, args...)
			add(name+" (ms)", ms(took))
			return err
		}}
}

func execCase(o options) benchCase {
	name := prefix + "exec"
	return benchCase{name: "exec", rounds: o.rounds, warmup: true,
		before: func(ctx context.Context, e *engine) error {
			return e.do(ctx, "run", "-d", "--name", name, image, "sleep", "3600")
		},
		sample: func(ctx context.Context, e *engine, add adder) error {
			_, took, err := e.run(ctx, "exec", name, "true")
			add("exec (ms)", ms(took))
			return err
		},
		after: func(ctx context.Context, e *engine) error { return e.do(ctx, "rm", "-f", name) },
	}
}

// lifecycleCase stops with SIGKILL: a shell's sleep ignores SIGTERM as PID 1, and
// the time of the container's own way out is no business of the engine.
func lifecycleCase(o options) benchCase {
	name := prefix + "life"
	steps := [][]string{
		{"create", "--name", name, "--stop-signal", "KILL", image, "sleep", "3600"},
		{"start", name}, {"stop", name}, {"rm", name},
	}
	return benchCase{name: "lifecycle: create, start, stop, rm", rounds: o.rounds, warmup: true,
		sample: func(ctx context.Context, e *engine, add adder) error {
			for _, args := range steps {
				_, took, err := e.run(ctx, args...)
				if err != nil {
					return err
				}
				add(args[0]+" (ms)", ms(took))
			}
			return nil
		}}
}

// parallelCase starts 16 containers, 8 at a time, and removes them by one command.
func parallelCase(o options) benchCase {
	const count, width = 16, 8
	return benchCase{name: "parallel: 16 × run -d, then rm -f", rounds: o.rounds, warmup: true,
		sample: func(ctx context.Context, e *engine, add adder) error {
			names := numbered("par", count)
			began := time.Now()
			if err := each(names, width, func(name string) error {
				return e.do(ctx, "run", "-d", "--name", name, image, "sleep", "3600")
			}); err != nil {
				return err
			}
			add("16 × run -d, 8 at a time, each (ms)", ms(time.Since(began))/count)
			_, took, err := e.run(ctx, append([]string{"rm", "-f"}, names...)...)
			add("rm -f of 16 running, each (ms)", ms(took)/count)
			return err
		}}
}

func listCase(o options) benchCase {
	return benchCase{name: "ps", rounds: o.rounds, warmup: true,
		before: func(ctx context.Context, e *engine) error {
			return each(numbered("ps", o.containers), 4, func(name string) error {
				return e.do(ctx, "create", "--name", name, image, "true")
			})
		},
		sample: func(ctx context.Context, e *engine, add adder) error {
			out, took, err := e.run(ctx, "ps", "-a")
			if n := strings.Count(out, prefix+"ps"); err == nil && n != o.containers {
				return fmt.Errorf("%s lists %d containers instead of %d", e.name, n, o.containers)
			}
			add(fmt.Sprintf("ps -a of %d containers (ms)", o.containers), ms(took))
			return err
		},
		after: func(ctx context.Context, e *engine) error {
			return e.do(ctx, append([]string{"rm"}, numbered("ps", o.containers)...)...)
		}}
}

// logCase writes lines of 65 bytes. Starting a container and waiting for it is
// measured with one that writes nothing, and subtracted.
func logCase(o options) benchCase {
	const line = "0123456789012345678901234567890123456789012345678901234567890123"
	name := prefix + "log"
	timed := func(ctx context.Context, e *engine, command string) (time.Duration, error) {
		began := time.Now()
		if err := e.do(ctx, "run", "-d", "--name", name, image, "sh", "-c", command); err != nil {
			return 0, err
		}
		err := e.do(ctx, "wait", name)
		return time.Since(began), err
	}
	mib := float64(o.logMiB)
	lines := o.logMiB << 20 / (len(line) + 1)
	return benchCase{name: "logs", rounds: max(1, o.rounds/3),
		sample: func(ctx context.Context, e *engine, add adder) error {
			empty, err := timed(ctx, e, "yes "+line+" | head -n 0")
			if err != nil {
				return err
			}
			if err := e.do(ctx, "rm", name); err != nil {
				return err
			}
			full, err := timed(ctx, e, fmt.Sprintf("yes %s | head -n %d", line, lines))
			if err != nil {
				return err
			}
			add("log written, per MiB (ms)", ms(full-empty)/mib)
			took, err := e.discard(ctx, "logs", name)
			if err != nil {
				return err
			}
			add("logs read, per MiB (ms)", ms(took)/mib)
			return e.do(ctx, "rm", name)
		}}
}

// memoryCase adds the containers of each engine once and looks before and after.
func memoryCase() benchCase {
	const count = 10
	return benchCase{name: "memory", rounds: 1,
		sample: func(ctx context.Context, e *engine, add adder) error {
			idle, err := e.memory(nil)
			if err != nil {
				return err
			}
			add("idle daemon, PSS (MiB)", idle)
			var ids []string
			for _, name := range numbered("mem", count) {
				id, _, err := e.run(ctx, "run", "-d", "--name", name, "-p", "80", image, "sleep", "3600")
				if err != nil {
					return err
				}
				ids = append(ids, id)
			}
			busy, err := e.memory(ids)
			if err != nil {
				return err
			}
			add("idle container with a port, PSS (MiB)", (busy-idle)/count)
			return e.do(ctx, append([]string{"rm", "-f"}, numbered("mem", count)...)...)
		}}
}

func numbered(kind string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%s%d", prefix, kind, i)
	}
	return names
}

// each calls f for every name, width at a time, and returns the first error.
func each(names []string, width int, f func(string) error) error {
	work := make(chan string)
	errs := make(chan error, width)
	var wg sync.WaitGroup
	for range width {
		wg.Go(func() {
			var first error
			for name := range work {
				if first == nil {
					first = f(name)
				}
			}
			errs <- first
		})
	}
	for _, name := range names {
		work <- name
	}
	close(work)
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
