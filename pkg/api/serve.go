package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
)

// Serve answers the connections of a listener until Shutdown. It may be
// called for several listeners at once. It returns nil after Shutdown, else
// why the listener failed.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown closes the listeners, ends the streams (logs, events, waits,
// attached connections) and waits for the other requests until ctx is done;
// then those are cut off as well, and ctx's error is returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.end()
	s.conns.close()
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
	}
	return errors.Join(err, s.conns.wait(ctx))
}

// conns are the connections that streams took over, until their handlers
// return; net/http forgets those.
type conns struct {
	mu     sync.Mutex // guards open and closed
	open   map[*hijacked]struct{}
	closed bool
	gone   chan struct{} // closed, once, when closed is set and open is empty
	once   sync.Once
}

func newConns() *conns {
	return &conns{open: map[*hijacked]struct{}{}, gone: make(chan struct{})}
}

// add registers a connection; false when the server is shutting down.
func (c *conns) add(h *hijacked) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.open[h] = struct{}{}
	return true
}

func (c *conns) remove(h *hijacked) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, h)
	c.doneLocked()
}

func (c *conns) doneLocked() {
	if c.closed && len(c.open) == 0 {
		c.once.Do(func() { close(c.gone) })
	}
}

// close closes every connection and refuses new ones.
func (c *conns) close() {
	c.mu.Lock()
	c.closed = true
	open := make([]*hijacked, 0, len(c.open))
	for h := range c.open {
		open = append(open, h)
	}
	c.doneLocked()
	c.mu.Unlock()
	for _, h := range open {
		_ = h.Close()
	}
}

func (c *conns) wait(ctx context.Context) error {
	select {
	case <-c.gone:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
