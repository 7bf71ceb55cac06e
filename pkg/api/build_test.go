package api_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// fakeBuilder answers with what it was sent.
type fakeBuilder struct{}

func (fakeBuilder) Serve(_ context.Context, conn net.Conn) error {
	defer conn.Close()
	_, err := io.CopyN(conn, conn, 4)
	return err
}

func (fakeBuilder) Session(_ context.Context, conn net.Conn, header map[string][]string) error {
	defer conn.Close()
	_, err := io.WriteString(conn, http.Header(header).Get("X-Docker-Expose-Session-Uuid"))
	return err
}

// BuildKit's clients go on in HTTP/2 on the connection that they asked with.
func TestUpgradeToAnotherProtocol(t *testing.T) {
	socket := listen(t, newServer(t, newFakes().routes()))
	for _, c := range []struct{ target, headers, want string }{
		{"/grpc", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI "},
		{"/v1.48/grpc", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "PRI "},
		{"/session", "Connection: Upgrade\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: some\r\n", "\r\n\r\nsome"},
		{"/session", "Connection: close\r\n", `{"message":"no upgrade proto in request"}`},
		{"/grpc", "Connection: close\r\nUpgrade: tcp\r\n", `{"message":"protocol tcp not supported"}`},
	} {
		conn := dial(t, socket)
		send(t, conn, c.target, c.headers, "PRI ")
		if got := readAll(t, conn); !strings.HasSuffix(strings.TrimSpace(got), strings.TrimSpace(c.want)) {
			t.Errorf("%s with %q: %q, want %q", c.target, c.headers, got, c.want)
		}
	}
}
