package shim

import (
	"errors"
	"os"
	"sync"
)

// input is the stdin of one process: a pipe that clients write to.
//
// Upstream opens the pipe by its name in /proc, some time after its Create or
// Start returned. The reading end here keeps the pipe, and what clients wrote,
// until the process is deleted; that is no obstacle to an end of file, which comes
// when all writing ends are closed.
type input struct {
	r, w *os.File
	once bool   // the first client's end is the end
	end  func() // closes the writing end that upstream holds, once it has one

	mu      sync.Mutex // guards the following
	started bool       // upstream has its ends
	closed  bool       // w is closed, or about to be
}

func newInput(once bool, end func()) (*input, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &input{r: r, w: w, once: once, end: end}, nil
}

// write blocks while the process does not read. Concurrent writes do not mix.
func (in *input) write(p []byte) error {
	_, err := in.w.Write(p)
	return err
}

// clientEnded tells that a client that may send to the process ended its side.
func (in *input) clientEnded() {
	if in.once {
		in.close()
	}
}

// close gives the process the end of file after what was written.
func (in *input) close() {
	in.mu.Lock()
	first, started := !in.closed, in.started
	in.closed = true
	in.mu.Unlock()
	if first {
		_ = in.w.Close()
		if started {
			in.end()
		}
	}
}

// upstreamOpened tells that upstream has opened its ends, or never will.
func (in *input) upstreamOpened() {
	in.mu.Lock()
	late := in.closed && !in.started
	in.started = true
	in.mu.Unlock()
	if late {
		in.end()
	}
}

// release ends the input when the process is gone, and wakes who still writes.
func (in *input) release() error {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	err := in.w.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return errors.Join(err, in.r.Close())
}
