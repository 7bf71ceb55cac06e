package client

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/moby/term"
)

// gathering makes the outputs of a client whose output is no terminal. What is
// written passes through until the gatherer is told to begin.
func gathering() (*gatherer, []command.CLIOption) {
	if term.IsTerminal(os.Stdout.Fd()) {
		return nil, nil
	}
	g := &gatherer{w: os.Stdout}
	options := []command.CLIOption{command.WithOutputStream(g)}
	if !term.IsTerminal(os.Stderr.Fd()) { // both may be one file
		options = append(options, command.WithErrorStream(after{g, os.Stderr}))
	}
	return g, options
}

const (
	gatherSize = 64 << 10
	// gatherTime is how late a line may be that is followed.
	gatherTime = 5 * time.Millisecond
)

// gatherer passes on what was written to it when there is much or some time is over.
// It is for logs: docker/cli writes each line on its own, and that costs more than
// all the rest.
type gatherer struct {
	w io.Writer

	mu    sync.Mutex // guards the following, and keeps the writes to w in order
	on    bool
	buf   []byte
	timer *time.Timer
	err   error // of an earlier write
}

func (g *gatherer) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.err != nil:
		return 0, g.err
	case !g.on:
		return g.w.Write(p)
	}
	if len(g.buf) == 0 {
		if g.timer == nil {
			g.timer = time.AfterFunc(gatherTime, func() { _ = g.flush() }) // told by the next write
		} else {
			g.timer.Reset(gatherTime)
		}
	}
	if g.buf = append(g.buf, p...); len(g.buf) >= gatherSize {
		return len(p), g.flushLocked()
	}
	return len(p), nil
}

func (g *gatherer) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.on = true
}

func (g *gatherer) flush() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.flushLocked()
}

func (g *gatherer) flushLocked() error {
	if g.err == nil && len(g.buf) > 0 {
		_, g.err = g.w.Write(g.buf)
		g.buf = g.buf[:0]
	}
	return g.err
}

// after writes when all that was gathered before is written: both outputs may be
// one file.
type after struct {
	first *gatherer
	w     io.Writer
}

func (a after) Write(p []byte) (int, error) {
	if err := a.first.flush(); err != nil {
		return 0, err
	}
	return a.w.Write(p)
}
