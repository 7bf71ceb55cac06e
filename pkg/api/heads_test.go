package api_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/version"
)

// The head of a request is bounded, however it grows, and what docker's clients put into
// it fits.
func TestHugeHeads(t *testing.T) {
	s, err := api.New(api.Config{MinAPI: version.MinAPI, MaxAPI: version.MaxAPI, Routes: newFakes().routes()})
	if err != nil {
		t.Fatal(err)
	}
	socket := listen(t, s)
	const head, mib = " HTTP/1.1\r\nHost: berth\r\n", 1 << 20
	for _, c := range []struct {
		name, sent string
		status     int
	}{
		{"credentials", "GET /_ping" + head + "X-Registry-Auth: " + strings.Repeat("a", mib-10_000) + "\r\n\r\n", 200},
		{"one header", "GET /_ping" + head + "X-Registry-Auth: " + strings.Repeat("a", 2*mib) + "\r\n\r\n", 431},
		{"many headers", "GET /_ping" + head + strings.Repeat("A: b\r\n", mib/2) + "\r\n", 431},
		{"a header that does not end", "GET /_ping" + head + "A: " + strings.Repeat("b", 2*mib), 431},
		{"a path", "GET /" + strings.Repeat("a", 2*mib) + head + "\r\n", 431},
		{"a method", strings.Repeat("A", 2*mib), 431},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, socket)
			if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.WriteString(conn, c.sent) }() // it ends when the server hangs up
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("the answer is %s, want %d", resp.Status, c.status)
			}
		})
	}
}
