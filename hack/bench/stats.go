package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	watched    = 100 // containers under stats
	watchStart = 3 * time.Second
	watchTime  = 10 * time.Second
)

// statsCase has a client watch containers and measures what the daemon and its
// children take for it.
func statsCase() benchCase {
	names := numbered("stats", watched)
	return benchCase{name: "stats", rounds: 1,
		before: func(ctx context.Context, e *engine) error {
			for _, name := range names {
				if err := e.do(ctx, "run", "-d", "--name", name, image, "sleep", "3600"); err != nil {
					return err
				}
			}
			return nil
		},
		sample: func(ctx context.Context, e *engine, add adder) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			cmd := e.command(ctx, "stats")
			if err := cmd.Start(); err != nil {
				return err
			}
			load, err := e.load(ctx)
			add(fmt.Sprintf("stats of %d containers, daemon (%% of a core)", watched), load)
			cancel()
			_ = cmd.Wait() // killed
			return err
		},
		after: func(ctx context.Context, e *engine) error {
			return e.do(ctx, append([]string{"rm", "-f"}, names...)...)
		},
	}
}

// load is the share of a core that the engine's processes take, in percent.
func (e *engine) load(ctx context.Context) (float64, error) {
	wait := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := wait(watchStart); err != nil {
		return 0, err
	}
	all, err := processes()
	if err != nil {
		return 0, err
	}
	pids := members(all, e.pid, nil)
	before, began := ticks(pids), time.Now()
	if err := wait(watchTime); err != nil {
		return 0, err
	}
	// USER_HZ is 100 (time(7)).
	return float64(ticks(pids)-before) / time.Since(began).Seconds(), nil
}

// ticks is the CPU time that processes have taken; one that has ended takes none.
func ticks(pids []int) (sum int) {
	for _, pid := range pids {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
			n, _ := parseTicks(stat)
			sum += n
		}
	}
	return sum
}

// parseTicks reads the time in user and system mode from /proc/PID/stat (proc(5)).
func parseTicks(stat []byte) (int, error) {
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("unexpected stat %q", stat)
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return user + system, err
}
