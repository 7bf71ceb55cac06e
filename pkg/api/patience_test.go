package api_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/version"
)

// hasty is the socket of a server that waits for nobody.
func hasty(t *testing.T, routes []api.Route) string {
	t.Helper()
	s, err := api.New(api.Config{MinAPI: version.MinAPI, MaxAPI: version.MaxAPI, Routes: routes, Patience: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return listen(t, s)
}

// outwait has a client that says nothing time out: whoever was there before it has
// been slow for as long.
func outwait(t *testing.T, socket string) {
	t.Helper()
	if got := readAll(t, dial(t, socket)); got != "" {
		t.Errorf("a silent client is told %q", got)
	}
}

// A client that does not go on is not waited for.
func TestSlowClients(t *testing.T) {
	socket := hasty(t, newFakes().routes())
	const create = "POST /containers/create HTTP/1.1\r\nHost: berth\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
	for _, c := range []struct{ name, sent, answer string }{
		{"nothing", "", ""},
		{"half a head", "GET /_ping HTTP/1.1\r\nHost:", ""},
		{"no body", create, "timed out while reading request body"},
		{"half a body", create + `{"Image":`, "timed out while reading request body"},
		{"a body that nobody reads", strings.Replace(create, "create", "web/pause", 1), "204"},
		{"an exec's", strings.Replace(create, "containers/create", "exec/"+someID+"/start", 1) + "{", "timed out while reading request body"},
		{"no further request", "GET /_ping HTTP/1.1\r\nHost: berth\r\n\r\n", "200 OK"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, socket)
			if _, err := io.WriteString(conn, c.sent); err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, conn); !strings.Contains(got, c.answer) { // until the server closes it
				t.Errorf("the answer is %q, want %s", got, c.answer)
			}
		})
	}
}

// A client of TLS that does not go on with the handshake is not waited for either.
func TestSlowHandshake(t *testing.T) {
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	defer certified.Close()
	pair := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: certified.TLS.Certificates}
	for name, rights := range map[string]func(net.Listener) net.Listener{"full": func(l net.Listener) net.Listener { return l }, "read-only": api.ReadOnly} {
		l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := api.New(api.Config{MinAPI: version.MinAPI, MaxAPI: version.MaxAPI, Routes: newFakes().routes(), Patience: 300 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		serveOn(t, s, rights(tls.NewListener(l, pair)))
		for _, sent := range []string{"", "\x16", "\x16\x03\x01\x02\x00\x01"} { // of a ClientHello
			t.Run(fmt.Sprintf("%s, %d bytes", name, len(sent)), func(t *testing.T) {
				conn := dial(t, l.Addr().String())
				if _, err := io.WriteString(conn, sent); err != nil {
					t.Fatal(err)
				}
				readAll(t, conn) // until the server closes it
			})
		}
	}
}

// An answer that is not read ends its handler.
func TestSlowReader(t *testing.T) {
	answered := make(chan struct{})
	socket := hasty(t, []api.Route{{Operation: "SystemInfo", Handler: func(w http.ResponseWriter, _ *api.Request) error {
		defer close(answered)
		return api.WriteJSON(w, http.StatusOK, strings.Repeat("x", 32<<20))
	}}})
	conn := dial(t, socket)
	if _, err := io.WriteString(conn, "GET /info HTTP/1.1\r\nHost: berth\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-answered
}

// Streams and operations take the time that they need, and so does the next request
// of a connection.
func TestPatienceOfStreams(t *testing.T) {
	f := newFakes()
	begun, goOn := make(chan struct{}), make(chan struct{})
	f.engine.start = func() error {
		close(begun)
		<-goOn
		return nil
	}
	socket := hasty(t, f.routes())
	slow, archive := dial(t, socket), dial(t, socket)
	send(t, slow, "/containers/web/start", "Content-Length: 0\r\n", "")
	<-begun
	if _, err := io.WriteString(archive, "PUT /containers/web/archive?path=/ HTTP/1.1\r\nHost: berth\r\nContent-Length: 4\r\n\r\nta"); err != nil {
		t.Fatal(err)
	}
	outwait(t, socket)
	close(goOn)
	if _, err := io.WriteString(archive, "r!"); err != nil {
		t.Fatal(err)
	}
	for conn, want := range map[net.Conn]int{slow: 204, archive: 200} {
		in := bufio.NewReader(conn)
		for range 2 {
			resp, err := http.ReadResponse(in, nil)
			if err != nil || resp.StatusCode != want {
				t.Fatalf("%v (%v), want %d", resp, err, want)
			}
			if want == 200 {
				break
			}
			want = 200
			if _, err := io.WriteString(conn, "GET /_ping HTTP/1.1\r\nHost: berth\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		}
	}
}
