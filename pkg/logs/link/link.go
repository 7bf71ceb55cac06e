// Package link is the connection of a log driver to its server: it is made again
// when it breaks, and everything on it ends with the context of the log.
package link

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// Link is for one goroutine.
type Link struct {
	ctx   context.Context // of the log; its end closes the connection
	dial  func(context.Context) (net.Conn, error)
	conn  net.Conn
	made  time.Time
	leave func() bool
}

// New does not connect yet.
func New(ctx context.Context, dial func(context.Context) (net.Conn, error)) *Link {
	return &Link{ctx: ctx, dial: dial}
}

// Dialer connects to address of network as net.Dialer does, over TLS if conf is
// given, in at most bound.
func Dialer(network, address string, conf *tls.Config, bound time.Duration) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		if conf != nil {
			d := tls.Dialer{Config: conf}
			return d.DialContext(ctx, network, address)
		}
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
}

// Connect connects if it is not.
func (l *Link) Connect() error {
	if l.conn != nil {
		return nil
	}
	conn, err := l.dial(l.ctx)
	if err != nil {
		return err
	}
	l.conn, l.made = conn, time.Now()
	l.leave = context.AfterFunc(l.ctx, func() { _ = conn.Close() })
	return nil
}

// Connected reports whether the last that was known is that the server is there.
func (l *Link) Connected() bool { return l.conn != nil }

// Age is how long the connection exists.
func (l *Link) Age() time.Duration { return time.Since(l.made) }

// Write sends p; within is no bound when it is 0. The link must be connected, and
// is not any more after an error.
func (l *Link) Write(p []byte, within time.Duration) error {
	err := l.conn.SetWriteDeadline(deadline(within))
	if err == nil {
		_, err = l.conn.Write(p)
	}
	if err != nil {
		l.Close()
	}
	return err
}

// Read is as Write.
func (l *Link) Read(p []byte, within time.Duration) (n int, err error) {
	if err = l.conn.SetReadDeadline(deadline(within)); err == nil {
		n, err = l.conn.Read(p)
	}
	if err != nil {
		l.Close()
	}
	return n, err
}

func deadline(within time.Duration) (t time.Time) {
	if within > 0 {
		t = time.Now().Add(within)
	}
	return t
}

// Close closes the connection; Connect may make another.
func (l *Link) Close() {
	if l.conn != nil {
		l.leave()
		_ = l.conn.Close()
		l.conn = nil
	}
}
