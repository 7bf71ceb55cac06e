package shim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// What a client that does not read may cost: memory first, then disk, then its
// connection.
const (
	queueMemory = 256 << 10
	queueDisk   = 1 << 30
)

// errOverrun ends a client that is more than queueDisk behind.
var errOverrun = errors.New("client is too far behind")

// queue holds what one client has not read yet. push never waits for the client:
// what memory does not hold goes to a file without a name in dir, used as a ring
// of disk bytes. Whatever is on disk is younger than whatever is in memory.
type queue struct {
	dir          string
	memory, disk int

	mu    sync.Mutex // guards all below
	more  sync.Cond  // on mu: something was pushed, or ended is set
	mem   []byte
	file  *os.File
	head  int64 // offset of the oldest byte in file
	held  int64 // bytes in file
	ended bool  // no more pushes
	err   error // why the queue was given up
}

func newQueue(dir string) *queue {
	q := &queue{dir: dir, memory: queueMemory, disk: queueDisk}
	q.more.L = &q.mu
	return q
}

// push adds p as a whole, or gives the queue up and returns why.
func (q *queue) push(p []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil || q.ended {
		return q.err
	}
	if q.held == 0 && len(q.mem)+len(p) <= q.memory {
		q.mem = append(q.mem, p...)
	} else if err := q.spillLocked(p); err != nil {
		q.failLocked(err)
		return err
	}
	q.more.Signal()
	return nil
}

func (q *queue) spillLocked(p []byte) error {
	if q.held+int64(len(p)) > int64(q.disk) {
		return errOverrun
	}
	if q.file == nil {
		f, err := nameless(q.dir)
		if err != nil {
			return fmt.Errorf("buffer for a slow client: %w", err)
		}
		q.file = f
	}
	for len(p) > 0 {
		end := (q.head + q.held) % int64(q.disk)
		n, err := q.file.WriteAt(p[:min(int64(len(p)), int64(q.disk)-end)], end)
		if err != nil {
			return fmt.Errorf("buffer for a slow client: %w", err)
		}
		q.held += int64(n)
		p = p[n:]
	}
	return nil
}

// pop waits for bytes and gives the oldest, in buf or in place of it: the caller
// gives buf up and goes on with what it got. Nothing is left when ok is false.
func (q *queue) pop(buf []byte) (p []byte, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.mem) == 0 && q.held == 0 && !q.ended && q.err == nil {
		q.more.Wait()
	}
	switch {
	case q.err != nil:
		return nil, false
	case len(q.mem) > 0:
		p = q.mem
		if q.mem = buf[:0]; cap(buf) > queueMemory/4 {
			q.mem = nil // a burst is over; the next one may be months away
		}
		return p, true
	case q.held > 0:
		p, err := q.fetchLocked(buf)
		if err != nil {
			q.failLocked(err)
		}
		return p, err == nil
	}
	return nil, false
}

func (q *queue) fetchLocked(buf []byte) ([]byte, error) {
	n := min(q.held, int64(q.disk)-q.head, queueMemory/4)
	if int64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	if _, err := q.file.ReadAt(buf[:n], q.head); err != nil {
		return nil, err
	}
	q.head = (q.head + n) % int64(q.disk)
	if q.held -= n; q.held == 0 {
		q.head = 0
		q.closeFileLocked() // and the disk is given back
	}
	return buf[:n], nil
}

// end says that nothing more will be pushed; what is there can still be popped.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = true
	q.more.Signal()
}

// fail gives up what is in the queue.
func (q *queue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failLocked(err)
}

func (q *queue) failLocked(err error) {
	if q.err == nil {
		q.err = err
	}
	q.mem, q.held = nil, 0
	q.closeFileLocked()
	q.more.Signal()
}

func (q *queue) closeFileLocked() {
	if q.file != nil {
		_ = q.file.Close()
		q.file = nil
	}
}

// nameless makes a file in dir that is gone when it is closed, or its process is.
func nameless(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), filepath.Join(dir, "#buffer")), nil
	}
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	f, err := os.CreateTemp(dir, ".buffer-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}
