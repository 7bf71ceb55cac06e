package api

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/berth-engine/berth/pkg/engine"
	"github.com/moby/moby/api/types"
)

// StreamType is the content type of a stream with stdout and stderr in
// Docker's framing, or of a terminal's. Clients learn which it is since API
// 1.42; before, both had the same name.
func (r *Request) StreamType(tty bool) string {
	if !tty && r.Version >= V1(42) {
		return types.MediaTypeMultiplexedStream
	}
	return types.MediaTypeRawStream
}

// Hijack prepares to take the client's connection over. The returned context
// ends when the server shuts down or the client is gone. (The request's own
// does not tell the latter: net/http takes the end of the input for it before
// the takeover, and notices nothing any more after.) open answers the request and hands the
// connection out; release ends what is left of it and must be called
// when the handler returns.
//
// A client that asks for it ("Upgrade: tcp") is answered with 101, others with
// 200 and a body without length, which is how Docker began.
func (r *Request) Hijack(w http.ResponseWriter) (ctx context.Context, open engine.OpenConn, release func()) {
	ctx, take, release := r.takeover(w)
	return ctx, func(tty bool) (engine.Conn, error) {
		head := "HTTP/1.1 200 OK\r\nContent-Type: " + types.MediaTypeRawStream + "\r\n\r\n"
		if r.Header.Get("Upgrade") != "" {
			head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: " + r.StreamType(tty) + "\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
		}
		conn, err := take(head)
		if err != nil {
			return nil, err
		}
		return conn, nil
	}, release
}

// Upgrade is Hijack for a connection that goes on in another protocol, which the
// client must have asked for: InvalidArgument.
func (r *Request) Upgrade(w http.ResponseWriter, protocol string) (ctx context.Context, open func() (net.Conn, error), release func(), err error) {
	switch asked := r.Header.Get("Upgrade"); asked {
	case protocol:
	case "":
		return nil, nil, nil, Invalid("no upgrade proto in request")
	default:
		return nil, nil, nil, Invalid("protocol %s not supported", asked)
	}
	ctx, take, release := r.takeover(w)
	return ctx, func() (net.Conn, error) {
		conn, err := take("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n\r\n")
		if err != nil {
			return nil, err
		}
		return conn, nil
	}, release, nil
}

// takeover is what Hijack and Upgrade have in common; take sends the answer.
func (r *Request) takeover(w http.ResponseWriter) (ctx context.Context, take func(head string) (*hijacked, error), release func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	stop := context.AfterFunc(r.streams, cancel)
	var conn *hijacked
	take = func(head string) (*hijacked, error) {
		raw, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return nil, err
		}
		if conn, err = takeOver(raw, buffered.Reader, r.conns, cancel); err != nil {
			return nil, err
		}
		_, err = io.WriteString(conn, head)
		return conn, err
	}
	return ctx, take, func() {
		stop()
		cancel()
		if conn != nil {
			_ = conn.Close()
			r.conns.remove(conn)
		}
	}
}

// hijacked is a connection that a stream took over.
type hijacked struct {
	net.Conn
	in    io.Reader // what net/http had read ahead, then the connection
	watch *watcher
	once  sync.Once
	err   error
}

func takeOver(c net.Conn, ahead *bufio.Reader, all *conns, gone func()) (*hijacked, error) {
	h := &hijacked{Conn: c, in: c}
	if n := ahead.Buffered(); n > 0 {
		// The peeked bytes live in net/http's buffer, which is ours now.
		p, _ := ahead.Peek(n)
		h.in = io.MultiReader(bytes.NewReader(p), c)
	}
	var err error
	if h.watch, err = watchPeer(c, gone); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("watch connection: %w", err)
	}
	if !all.add(h) {
		_ = h.Close()
		return nil, http.ErrServerClosed
	}
	return h, nil
}

func (h *hijacked) Read(p []byte) (int, error) { return h.in.Read(p) }

// CloseWrite ends the output; the client may go on sending.
func (h *hijacked) CloseWrite() error {
	if c, ok := h.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return h.Close()
}

// Close ends the connection. It may be called more than once.
func (h *hijacked) Close() error {
	h.once.Do(func() {
		h.err = h.Conn.Close()
		h.watch.close()
	})
	return h.err
}
