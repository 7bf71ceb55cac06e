package streams

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
)

// Attach joins a client to the streams of a process that the shim at socket
// keeps. Reads give its output, in Docker's framing unless it has a tty, and end
// with io.EOF after its last byte; writes are its stdin, ended by CloseWrite. ctx
// bounds the handshake only. NotFound: no shim listens there, or it has no such
// exec. The caller closes the connection.
func Attach(ctx context.Context, socket string, r Request) (*net.UnixConn, error) {
	conn, err := dial(ctx, socket)
	if err != nil {
		return nil, err
	}
	// A deadline in the past wakes the reads and writes of the handshake.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err = handshake(conn, r)
	if !stop() {
		err = ctx.Err() // the deadline was, or is about to be, spoilt
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// RefreshNames tells the shim at socket that its container's networks have
// changed, and returns when the container can ask for their names.
func RefreshNames(ctx context.Context, socket string) error {
	conn, err := Attach(ctx, socket, Request{Names: true})
	if err != nil {
		return err
	}
	return conn.Close()
}

func handshake(conn net.Conn, r Request) error {
	var resp Response
	err := writeLine(conn, r)
	if err == nil {
		err = readLine(conn, &resp)
	}
	if err != nil {
		return gone(err)
	}
	return resp.Err()
}

// gone is NotFound when the shim ended between our connect and its accept.
func gone(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("attach: the shim ended: %w", errdefs.ErrNotFound)
	}
	return fmt.Errorf("attach: %w", err)
}

func dial(ctx context.Context, socket string) (*net.UnixConn, error) {
	addr, release, err := address(socket)
	if err == nil {
		defer release()
		var conn net.Conn
		var d net.Dialer
		if conn, err = d.DialContext(ctx, "unix", addr); err == nil {
			return conn.(*net.UnixConn), nil
		}
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("attach: no shim listens on %s: %w", socket, errdefs.ErrNotFound)
	}
	return nil, fmt.Errorf("attach: %w", err)
}
