package api

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"strings"

	"github.com/berth-engine/berth/pkg/engine"
	"github.com/berth-engine/berth/pkg/streams"
	"golang.org/x/net/websocket"
)

// WebSocket is Hijack for a client that speaks WebSocket (RFC 6455). A message
// holds output as it is: Docker does not frame it here, so stdout and stderr cannot
// be told apart. Messages are binary since API 1.28, and text before.
func (r *Request) WebSocket(w http.ResponseWriter) (ctx context.Context, open engine.OpenConn, release func(), err error) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || r.Header.Get("Sec-WebSocket-Key") == "" {
		return nil, nil, nil, Invalid("the request is no WebSocket handshake")
	}
	ctx, take, hangUp := r.takeover(w)
	done, served := make(chan struct{}), make(chan struct{})
	close(served) // nothing is, yet
	open = func(tty bool) (engine.Conn, error) {
		raw, err := take("") // the handshake's answer is the package's
		if err != nil {
			return nil, err
		}
		shaken := make(chan *websocket.Conn, 1)
		server := websocket.Server{Handler: func(c *websocket.Conn) {
			shaken <- c
			<-done // the package closes the connection when this returns
		}}
		served = make(chan struct{})
		go func() {
			defer close(served)
			server.ServeHTTP(&taken{ResponseWriter: w, conn: raw}, r.Request)
		}()
		select {
		case c := <-shaken:
			c.PayloadType = websocket.TextFrame
			if r.Version >= V1(28) {
				c.PayloadType = websocket.BinaryFrame
			}
			return &webSocket{Conn: c, raw: tty}, nil
		case <-served:
			return nil, Invalid("the WebSocket handshake failed")
		}
	}
	return ctx, open, func() {
		close(done)
		hangUp()
		<-served
	}, nil
}

// taken is a ResponseWriter whose connection was taken over already.
type taken struct {
	http.ResponseWriter
	conn *hijacked
}

func (t *taken) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return t.conn, bufio.NewReadWriter(bufio.NewReader(t.conn), bufio.NewWriter(t.conn)), nil
}

// webSocket takes Docker's framing off what is written, unless it is raw.
type webSocket struct {
	*websocket.Conn
	raw  bool
	head []byte // of a frame that has begun
	left int    // of the frame's payload
}

func (s *webSocket) Write(p []byte) (n int, err error) {
	if s.raw {
		return s.Conn.Write(p)
	}
	for n < len(p) {
		if s.left == 0 {
			take := min(streams.HeaderSize-len(s.head), len(p)-n)
			s.head = append(s.head, p[n:n+take]...)
			n += take
			if len(s.head) == streams.HeaderSize {
				s.left = int(binary.BigEndian.Uint32(s.head[4:]))
				s.head = s.head[:0]
			}
			continue
		}
		take := min(s.left, len(p)-n)
		if _, err := s.Conn.Write(p[n : n+take]); err != nil {
			return n, err
		}
		n += take
		s.left -= take
	}
	return n, nil
}

// CloseWrite says that no more messages follow: a WebSocket has no half-close.
func (s *webSocket) CloseWrite() error {
	const normal = 1000 // RFC 6455, 7.4.1
	return s.Conn.WriteClose(normal)
}
