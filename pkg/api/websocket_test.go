package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/engine"
	"golang.org/x/net/websocket"
)

// TestWebSocket: input and output arrive as they are, whatever the frames that the
// engine writes are cut into.
func TestWebSocket(t *testing.T) {
	const framed = "\x01\x00\x00\x00\x00\x00\x00\x03out\x02\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x04errs"
	for _, c := range []struct {
		name, version string
		tty           bool
		output, want  string
		kind          byte
	}{
		{"streams", "/v1.55", false, framed, "outerrs", websocket.BinaryFrame},
		{"terminal", "/v1.28", true, framed, framed, websocket.BinaryFrame},
		{"old", "/v1.27", false, framed, "outerrs", websocket.TextFrame},
	} {
		for _, piece := range []int{1, 7, 1000} {
			t.Run(fmt.Sprintf("%s in pieces of %d", c.name, piece), func(t *testing.T) {
				f := newFakes()
				f.engine.attach = func(_ context.Context, o engine.AttachOptions, open engine.OpenConn) error {
					conn, err := open(c.tty)
					if err != nil {
						return err
					}
					in := make([]byte, 5)
					if _, err := io.ReadFull(conn, in); err != nil || string(in) != "input" || !o.Stdin {
						t.Errorf("input %q, %v, %+v", in, err, o)
					}
					for rest := c.output; rest != ""; {
						n := min(piece, len(rest))
						if _, err := io.WriteString(conn, rest[:n]); err != nil {
							return err
						}
						rest = rest[n:]
					}
					return conn.CloseWrite()
				}
				conn := dial(t, listen(t, newServer(t, f.routes())))
				config, err := websocket.NewConfig("ws://berth"+c.version+"/containers/web/attach/ws?stream=1&stdin=1&stdout=1", "http://berth")
				if err != nil {
					t.Fatal(err)
				}
				ws, err := websocket.NewClient(config, conn)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(ws, "input"); err != nil {
					t.Fatal(err)
				}
				var got strings.Builder
				for {
					frame, err := ws.NewFrameReader()
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					if frame.PayloadType() == websocket.CloseFrame {
						break
					}
					if frame.PayloadType() != c.kind {
						t.Errorf("a message of type %d", frame.PayloadType())
					}
					if _, err := io.Copy(&got, frame); err != nil {
						t.Fatal(err)
					}
				}
				if got.String() != c.want {
					t.Errorf("got %q, want %q", got.String(), c.want)
				}
			})
		}
	}
}

func TestWebSocketRefused(t *testing.T) {
	for _, c := range []struct {
		name, target, headers string
		status                int
	}{
		{"no handshake", "/containers/web/attach/ws", "", http.StatusBadRequest},
		{"no key", "/containers/web/attach/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n", http.StatusBadRequest},
		{"no container", "/containers/nobody/attach/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", http.StatusNotFound},
		{"another version", "/containers/web/attach/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", http.StatusBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, listen(t, newServer(t, newFakes().routes())))
			if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: berth\r\nConnection: close\r\n%s\r\n", c.target, c.headers); err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, conn); !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", c.status)) {
				t.Errorf("%q", got)
			}
		})
	}
}
