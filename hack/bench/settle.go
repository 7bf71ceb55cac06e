package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	settleWindow = 200 * time.Millisecond
	settleBusy   = 0.1             // of the processors, what an idle machine may do
	settleLimit  = 5 * time.Second // with others on the machine it is never idle
)

// settle waits until the machine is idle, so that a sample does not pay for what the
// engine before it still does behind its answers: namespaces that the kernel takes
// apart, shims that end.
func settle(ctx context.Context) error {
	deadline := time.Now().Add(settleLimit)
	before, err := readTimes()
	for err == nil && time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settleWindow):
		}
		var now times
		if now, err = readTimes(); err == nil && now.busySince(before) < settleBusy {
			return nil
		}
		before = now
	}
	return err
}

// times are those of all processors since boot, in ticks.
type times struct{ busy, all uint64 }

// busySince is the share of the time since before that the processors worked.
func (t times) busySince(before times) float64 {
	if t.all == before.all {
		return 0
	}
	return float64(t.busy-before.busy) / float64(t.all-before.all)
}

func readTimes() (times, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return times{}, err
	}
	return parseTimes(string(b))
}

// parseTimes reads the first line of /proc/stat (proc_stat(5)). The fourth and the fifth
// time are idle and waiting for a disk; those after the eighth are of guests, and part of
// the first two.
func parseTimes(stat string) (t times, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return times{}, fmt.Errorf("/proc/stat begins with %q", line)
	}
	for i, f := range fields[1:9] {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return times{}, fmt.Errorf("/proc/stat begins with %q: %w", line, err)
		}
		t.all += n
		if i != 3 && i != 4 {
			t.busy += n
		}
	}
	return t, nil
}
