package shim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/pkg/shim/launch"
	"github.com/berth-engine/berth/pkg/shim/published"
	"github.com/berth-engine/berth/pkg/shim/resolver"
	"github.com/berth-engine/berth/pkg/streams"
)

// handshake bounds how long a client may take to say what it wants.
const handshake = 10 * time.Second

// container serves the streams of one container's processes on its socket.
type container struct {
	id       string
	socket   string
	bundle   string
	buffer   string // folder for the buffers of slow clients
	listener *net.UnixListener
	flushes  *flushes
	stop     chan struct{}  // closed when the listener is
	wg       sync.WaitGroup // the accept loop
	ports    published.Set

	mu        sync.Mutex // guards the following
	processes map[string]*process
	names     *resolver.Resolver // nil if the container has none
	starting  int                // its process, until that is known to take signals
}

// newContainer listens on the container's socket. A link in the bundle leads whoever cleans up
// after a killed shim to it.
func newContainer(cfg streams.Config, bundle string, f *flushes) (*container, error) {
	id, socket := cfg.ID, cfg.Socket
	l, err := streams.Listen(socket)
	if err != nil {
		return nil, fmt.Errorf("listen for stream clients: %w", err)
	}
	if err := link(socket, bundle); err != nil {
		_ = l.Close()
		_ = os.Remove(socket)
		return nil, err
	}
	buffer := bundle
	if cfg.Log.Path != "" { // on a disk, which the bundle seldom is
		buffer = filepath.Dir(cfg.Log.Path)
	}
	c := &container{id: id, socket: socket, bundle: bundle, buffer: buffer, listener: l, stop: make(chan struct{}), flushes: f, processes: map[string]*process{}}
	c.wg.Go(c.accept)
	return c, nil
}

func link(socket, bundle string) error {
	name := filepath.Join(bundle, launch.SocketLink)
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(socket, name)
}

// add makes the process known to clients and begins to read its output.
func (c *container) add(p *process) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.processes[p.cfg.Exec] != nil {
		return fmt.Errorf("streams of %q: %w", p.cfg.Exec, errdefs.ErrAlreadyExists)
	}
	c.processes[p.cfg.Exec] = p
	p.start()
	return nil
}

func (c *container) process(exec string) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.processes[exec]
}

// remove ends a process's streams. Clients that are still being served keep what
// is in their queues.
func (c *container) remove(exec string, bound time.Duration) {
	if p := c.process(exec); p != nil {
		p.finish(bound)
		c.mu.Lock()
		delete(c.processes, exec)
		c.mu.Unlock()
	}
}

// close ends all streams and takes the socket away: the next shim of this
// container may listen there as soon as this returns.
func (c *container) close(bound time.Duration) {
	c.mu.Lock()
	execs := make([]string, 0, len(c.processes))
	for exec := range c.processes {
		execs = append(execs, exec)
	}
	c.mu.Unlock()
	for _, exec := range execs {
		c.remove(exec, bound)
	}
	c.stopListening()
	c.mu.Lock()
	names := c.names
	c.names = nil
	c.mu.Unlock()
	if names != nil {
		names.Close()
	}
}

// refresh has the names follow the container's networks.
func (c *container) refresh() error {
	c.mu.Lock()
	names := c.names
	c.mu.Unlock()
	if names == nil {
		return fmt.Errorf("container %s asks name servers itself: %w", c.id, errdefs.ErrFailedPrecondition)
	}
	return names.Refresh()
}

// answer begins to answer the names that the container asks for.
func (c *container) answer(cfg *streams.Names) error {
	if cfg == nil {
		return nil
	}
	r, err := resolver.Open(*cfg)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names = r
	return err
}

func (c *container) stopListening() {
	c.ports.Close() // first: who finds nobody listening takes the ports for free
	close(c.stop)
	_ = c.listener.Close()
	c.wg.Wait()
	_ = os.Remove(c.socket)
	_ = os.Remove(filepath.Join(c.bundle, launch.SocketLink))
}

func (c *container) accept() {
	for {
		conn, err := c.listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors or memory: others may give some back
			select {
			case <-c.stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		go c.serve(conn)
	}
}

// serve answers one client and moves its bytes until it or the process ends.
func (c *container) serve(conn *net.UnixConn) {
	_ = conn.SetDeadline(time.Now().Add(handshake))
	r, err := streams.ReadRequest(conn)
	if err == nil && r.Ports != nil {
		_ = streams.WriteResponse(conn, streams.NewResponse(c.hold(conn, *r.Ports)))
		_ = conn.Close()
		return
	}
	if err == nil && r.Names {
		_ = streams.WriteResponse(conn, streams.NewResponse(c.refresh()))
		_ = conn.Close()
		return
	}
	var p *process
	if err == nil {
		if p = c.process(r.Exec); p == nil {
			err = c.unknown(r.Exec)
		}
	}
	if err != nil {
		_ = streams.WriteResponse(conn, streams.NewResponse(err))
		_ = conn.Close()
		return
	}
	_ = conn.SetDeadline(time.Time{})
	var answer bytes.Buffer
	if err := streams.WriteResponse(&answer, streams.Response{}); err != nil {
		_ = conn.Close()
		return
	}
	flushed := c.flushes.begin()
	cl := p.join(conn, r, answer.Bytes())
	cl.serve(p.in, c.flushes.progress, func() {
		p.leave(cl)
		flushed()
	})
}

// hold takes sockets that hold ports of the host, or lets go of all.
func (c *container) hold(conn *net.UnixConn, r streams.PortsRequest) error {
	if r.Release {
		c.ports.Release()
		return nil
	}
	fds, err := streams.ReadPorts(conn, len(r.Take))
	if err != nil {
		return err
	}
	return c.ports.Take(r.Take, fds)
}

func (c *container) unknown(exec string) error {
	if exec == "" {
		return errdefs.ErrNotFound.WithMessage("No such container: " + c.id)
	}
	return errdefs.ErrNotFound.WithMessage("No such exec instance: " + exec)
}

// flushes counts the clients that have not got everything yet.
type flushes struct {
	mu      sync.Mutex // guards the following
	pending int
	idle    chan struct{} // closed while pending is 0
	moved   int64         // bytes that clients took
}

func newFlushes() *flushes {
	f := &flushes{idle: make(chan struct{})}
	close(f.idle)
	return f
}

func (f *flushes) begin() (done func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pending++; f.pending == 1 {
		f.idle = make(chan struct{})
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.pending--; f.pending == 0 {
			close(f.idle)
		}
	}
}

func (f *flushes) progress(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moved += int64(n)
}

// wait returns when every client has got everything, when none took a byte for
// patience, or when ctx ends.
func (f *flushes) wait(ctx context.Context, patience time.Duration) {
	t := time.NewTicker(patience)
	defer t.Stop()
	for last := int64(-1); ; {
		f.mu.Lock()
		idle, moved := f.idle, f.moved
		f.mu.Unlock()
		if moved == last {
			return
		}
		last = moved
		select {
		case <-idle:
			return
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}
