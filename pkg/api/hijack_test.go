package api_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/engine"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/jsonstream"
)

// listen serves s on a unix socket until the test ends, and gives the socket.
func listen(t *testing.T, s *api.Server) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, s, l)
	return socket
}

func serveOn(t *testing.T, s *api.Server, l net.Listener) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func dial(t *testing.T, socket string) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// send writes a request, with what follows it, in one piece.
func send(t *testing.T, c io.Writer, target, headers, rest string) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: berth\r\n%s\r\n%s", target, headers, rest); err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func attachWith(tty bool) (fakes, chan string) {
	got := make(chan string, 1)
	f := newFakes()
	f.engine.attach = func(_ context.Context, _ engine.AttachOptions, open engine.OpenConn) error {
		conn, err := open(tty)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(conn) // to the client's half-close
		got <- string(b)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(conn, "bye"); err != nil {
			return err
		}
		return conn.CloseWrite()
	}
	return f, got
}

const (
	upgradeHeaders = "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n"
	upgraded       = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.%s-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
	raw200         = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
)

func TestHijack(t *testing.T) {
	for _, c := range []struct {
		name, version, headers string
		tty                    bool
		want                   string
	}{
		{"upgrade", "/v1.55", upgradeHeaders, false, fmt.Sprintf(upgraded, "multiplexed")},
		{"upgrade, first with types", "/v1.42", upgradeHeaders, false, fmt.Sprintf(upgraded, "multiplexed")},
		{"upgrade, terminal", "", upgradeHeaders, true, fmt.Sprintf(upgraded, "raw")},
		{"upgrade, old", "/v1.41", upgradeHeaders, false, fmt.Sprintf(upgraded, "raw")},
		{"no upgrade", "/v1.55", "Content-Length: 0\r\n", false, raw200},
		{"no upgrade, terminal", "/v1.24", "", true, raw200},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, got := attachWith(c.tty)
			conn := dial(t, listen(t, newServer(t, f.routes())))
			// The input comes with the request, so the server has read it ahead.
			send(t, conn, c.version+"/containers/web/attach?stream=1&stdin=1", c.headers, "ahead ")
			if _, err := io.WriteString(conn, "later"); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if input := <-got; input != "ahead later" {
				t.Errorf("input %q", input)
			}
			if answer := readAll(t, conn); answer != c.want+"bye" {
				t.Errorf("answer\n%q, want\n%q", answer, c.want+"bye")
			}
		})
	}
}

// What an exec was created with is not what its client reads: that is said at the start.
func TestExecOfATerminal(t *testing.T) {
	f := newFakes()
	f.engine.terminal = true
	socket := listen(t, newServer(t, f.routes()))
	for body, want := range map[string]string{
		`{"Tty":true}`:  fmt.Sprintf(upgraded, "raw") + "abc",
		`{"Tty":false}`: fmt.Sprintf(upgraded, "multiplexed") + "\x01\x00\x00\x00\x00\x00\x00\x03abc",
	} {
		conn := dial(t, socket)
		send(t, conn, "/exec/"+someID+"/start", fmt.Sprintf("Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", len(body)), body+"abc")
		if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, conn); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

// An exec's request has a body before its stream begins, sometimes chunked.
func TestHijackAfterABody(t *testing.T) {
	f := newFakes()
	socket := listen(t, newServer(t, f.routes()))
	for name, request := range map[string][2]string{
		"length":  {"Content-Length: 13\r\n", `{"Tty": true}`},
		"chunked": {"Transfer-Encoding: chunked\r\n", "d\r\n{\"Tty\": true}\r\n0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, socket)
			send(t, conn, "/v1.44/exec/"+someID+"/start", "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n"+request[0], request[1]+"echo")
			if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if answer, want := readAll(t, conn), fmt.Sprintf(upgraded, "raw")+"echo"; answer != want {
				t.Errorf("answer\n%q, want\n%q", answer, want)
			}
		})
	}
}

// What fails before the connection is taken over is an ordinary answer.
func TestErrorBeforeHijack(t *testing.T) {
	conn := dial(t, listen(t, newServer(t, newFakes().routes())))
	send(t, conn, "/containers/x/attach", upgradeHeaders, "")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body := readAll(t, resp.Body); resp.StatusCode != 404 || message(t, body) != "No such container: x" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// idle attaches and waits for the end of its context, as an engine does for a
// container that prints nothing.
func idle(opened, ended chan struct{}) func(context.Context, engine.AttachOptions, engine.OpenConn) error {
	return func(ctx context.Context, _ engine.AttachOptions, open engine.OpenConn) error {
		if _, err := open(true); err != nil {
			return err
		}
		close(opened)
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}
}

// The context ends when the client is gone, although nobody reads or writes,
// and not when the client has only ended its input.
func TestClientGone(t *testing.T) {
	half, ended := make(chan error), make(chan struct{})
	f := newFakes()
	f.engine.attach = func(ctx context.Context, _ engine.AttachOptions, open engine.OpenConn) error {
		conn, err := open(true)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, conn); err != nil {
			return err
		}
		half <- ctx.Err()
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}
	conn := dial(t, listen(t, newServer(t, f.routes())))
	send(t, conn, "/containers/web/attach?stream=1&stdout=1", upgradeHeaders, "")
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := <-half; err != nil {
		t.Fatalf("the end of the input ended the stream: %v", err)
	}
	_ = conn.Close()
	<-ended
}

// Shutdown ends streams, and waits for their handlers.
func TestShutdownEndsStreams(t *testing.T) {
	opened, ended := make(chan struct{}), make(chan struct{})
	f := newFakes()
	f.engine.attach = idle(opened, ended)
	waiting, waited := make(chan struct{}), make(chan struct{})
	f.engine.wait = func(ctx context.Context, registered func()) (container.WaitResponse, error) {
		registered()
		close(waiting)
		<-ctx.Done()
		close(waited)
		return container.WaitResponse{}, ctx.Err()
	}
	s := newServer(t, f.routes())
	socket := listen(t, s)
	attached, waiter := dial(t, socket), dial(t, socket)
	send(t, attached, "/containers/web/attach?stream=1", upgradeHeaders, "")
	send(t, waiter, "/containers/web/wait", "", "")
	<-opened
	<-waiting
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []chan struct{}{ended, waited} {
		select {
		case <-c:
		default:
			t.Error("a handler was still running after Shutdown")
		}
	}
	if answer := readAll(t, attached); !strings.HasPrefix(answer, "HTTP/1.1 101") {
		t.Errorf("answer %q", answer)
	}
	if _, err := net.Dial("unix", socket); err == nil {
		t.Error("still listening")
	}
}

// The same over TLS, whose half-close is its own.
func TestHijackOverTLS(t *testing.T) {
	f, got := attachWith(true)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, newServer(t, f.routes()), l)
	conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send(t, conn, "/containers/web/attach?stream=1&stdin=1", upgradeHeaders, "in")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if input := <-got; input != "in" {
		t.Errorf("input %q", input)
	}
	if answer, want := readAll(t, conn), fmt.Sprintf(upgraded, "raw")+"bye"; answer != want {
		t.Errorf("answer %q, want %q", answer, want)
	}
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A client learns that its wait is registered by the headers, before the end.
func TestWaitSendsHeadersFirst(t *testing.T) {
	exit := make(chan struct{})
	f := newFakes()
	f.engine.wait = func(_ context.Context, registered func()) (container.WaitResponse, error) {
		registered()
		<-exit
		return container.WaitResponse{StatusCode: 7}, nil
	}
	conn := dial(t, listen(t, newServer(t, f.routes())))
	send(t, conn, "/v1.44/containers/web/wait?condition=next-exit", "", "")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	close(exit)
	if body := readAll(t, resp.Body); resp.StatusCode != 200 || body != "{\"StatusCode\":7}\n" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

// Progress that is sent while the archive still comes in must not cost bytes
// of it, chunked or not (net/http throws unread ones away unless told not to).
func TestLoadReadsOnAfterProgress(t *testing.T) {
	const size = 3 << 20
	f := newFakes()
	f.images.load = func(r io.Reader, progress func(jsonstream.Message) error) error {
		if err := progress(jsonstream.Message{Status: "begin"}); err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, r)
		if err != nil {
			return err
		}
		return progress(jsonstream.Message{Status: fmt.Sprint(n)})
	}
	socket := listen(t, newServer(t, f.routes()))
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", socket)
	}}}
	defer client.CloseIdleConnections()
	for name, body := range map[string]io.Reader{
		"chunked": io.MultiReader(strings.NewReader(strings.Repeat("a", size))),
		"length":  strings.NewReader(strings.Repeat("a", size)),
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := client.Post("http://berth/v1.44/images/load", "application/x-tar", body)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			want := fmt.Sprintf("{\"status\":\"begin\"}\r\n{\"status\":\"%d\"}\r\n", size)
			if got := readAll(t, resp.Body); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

// An archive that is refused at its first bytes is an ordinary answer to a
// client that writes it all, and the connection stays good for the next request.
func TestLoadRefused(t *testing.T) {
	f := newFakes()
	f.images.load = func(io.Reader, func(jsonstream.Message) error) error { return api.Invalid("no archive") }
	conn := dial(t, listen(t, newServer(t, f.routes())))
	in := bufio.NewReader(conn)
	for _, size := range []int{1, 8 << 20, 1} {
		send(t, conn, "/images/load", fmt.Sprintf("Content-Length: %d\r\n", size), strings.Repeat("a", size))
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body := readAll(t, resp.Body); resp.StatusCode != 400 || message(t, body) != "no archive" {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	}
}

// An error before any progress has a status of its own, later ones are in the
// stream, where old and new clients look.
func TestProgressErrors(t *testing.T) {
	f := newFakes()
	s := newServer(t, f.routes())
	f.images.load = func(io.Reader, func(jsonstream.Message) error) error { return api.Invalid("no archive") }
	if resp, body := do(t, s, "POST", "/images/load", ""); resp.StatusCode != 400 || message(t, body) != "no archive" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	f.images.load = func(_ io.Reader, progress func(jsonstream.Message) error) error {
		return errors.Join(progress(jsonstream.Message{Status: "a"}), errors.New("broken <tar>"))
	}
	resp, body := do(t, s, "POST", "/images/load", "")
	want := "{\"status\":\"a\"}\r\n{\"errorDetail\":{\"message\":\"broken <tar>\"},\"error\":\"broken <tar>\"}\r\n"
	if resp.StatusCode != 200 || body != want {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}
