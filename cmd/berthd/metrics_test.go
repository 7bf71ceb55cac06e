package main

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose clients are in this process, as synctest asks for.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error { close(p.closed); return nil }

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial returns before somebody accepts, as by a kernel's backlog.
func (p pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	go func() { p.conns <- theirs }()
	return ours
}

// TestMetricsConnections has clients that ask and go on reading nothing, one more than may
// be, and then some that say nothing.
func TestMetricsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := pipes{make(chan net.Conn), make(chan struct{})}
		var served atomic.Int32
		release := make(chan struct{})
		end := answerMetrics(l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			served.Add(1)
			<-release
		}), slog.New(slog.DiscardHandler))
		var clients []net.Conn
		for range metricsConns + 1 {
			c := l.dial()
			clients = append(clients, c)
			go func() { _, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") }()
		}
		synctest.Wait()
		if got := served.Load(); got != metricsConns {
			t.Errorf("%d connections are served at once", got)
		}
		close(release)
		for _, c := range clients {
			go func() {
				if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
					resp.Body.Close()
				}
				_ = c.Close()
			}()
		}
		synctest.Wait()
		if got := served.Load(); got != metricsConns+1 {
			t.Errorf("%d were served in the end", got)
		}

		silent, began := l.dial(), time.Now()
		if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) || time.Since(began) > metricsRequest {
			t.Errorf("a client that says nothing is left after %s: %v", time.Since(began), err)
		}
		end()
	})
}
