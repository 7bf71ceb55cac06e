package attach

import (
	"context"
	"net"
	"slices"

	"github.com/berth-engine/berth/pkg/streams"
)

// Client is somebody who has, or waits for, a connection to a process's streams.
type Client struct {
	request streams.Request
	joined  chan joined // capacity 1
}

type joined struct {
	conn *net.UnixConn
	err  error
}

// NewClient is not connected yet.
func NewClient(r streams.Request) *Client {
	return &Client{request: r, joined: make(chan joined, 1)}
}

// Connect joins the client to the streams that a shim serves at socket.
func (c *Client) Connect(ctx context.Context, socket string) error {
	conn, err := streams.Attach(ctx, socket, c.request)
	if err != nil {
		return err
	}
	c.joined <- joined{conn: conn}
	return nil
}

// Conn waits for the connection. An error says why there will be none.
func (c *Client) Conn(ctx context.Context) (*net.UnixConn, error) {
	select {
	case j := <-c.joined:
		return j.conn, j.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Stdin says whether the client has input for the process.
func (c *Client) Stdin() bool { return c.request.Stdin }

// Forget closes a connection that nobody took.
func (c *Client) Forget() {
	select {
	case j := <-c.joined:
		if j.conn != nil {
			_ = j.conn.Close() // nothing was read from or written to it
		}
	default:
	}
}

// Queue is the clients that attached before a start. It belongs to one goroutine.
type Queue struct{ clients []*Client }

// Add has a client joined by the next start.
func (q *Queue) Add(c *Client) { q.clients = append(q.clients, c) }

// Remove forgets a client that left.
func (q *Queue) Remove(c *Client) {
	q.clients = slices.DeleteFunc(q.clients, func(other *Client) bool { return other == c })
}

// Join connects them all, between the creation of the task and its start, so
// that none misses the first byte.
func (q *Queue) Join(ctx context.Context, socket string) {
	for _, c := range q.clients {
		if err := c.Connect(ctx, socket); err != nil {
			c.joined <- joined{err: err}
		}
	}
	q.clients = nil
}

// Drop tells them why there will be nothing to join.
func (q *Queue) Drop(err error) {
	for _, c := range q.clients {
		c.joined <- joined{err: err}
	}
	q.clients = nil
}

// Len is how many wait.
func (q *Queue) Len() int { return len(q.clients) }
