// Package attach joins clients to the streams of processes, which shims serve:
// to one that runs at once, to one that does not before the first byte of its
// next start. The bytes are copied both ways as they are.
package attach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/moby/term"
)

// Conn is a client's connection that a stream took over. CloseWrite ends the
// output without ending the input.
type Conn interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// OpenConn takes over the client's connection once the request is accepted;
// tty says which of Docker's two stream formats follows. An error that comes
// before it is called can still be answered with a status.
type OpenConn func(tty bool) (Conn, error)

// Streams is a client and the process that it is joined to.
type Streams struct {
	Client Conn
	Shim   *net.UnixConn
	Stdin  bool   // the client has input for the process
	Keys   []byte // end the client's input, and the copy; nil: nothing does
	// Settled is closed when the process's end is known: a client asks for the
	// exit code as soon as its connection ends. Nil: nobody asks.
	Settled <-chan struct{}
}

// Copy returns when the process's output has ended and Settled is closed, or
// the client has gone. It reports whether the client detached by its keys. Both
// connections are closed.
func Copy(ctx context.Context, s Streams) (detached bool) {
	hangUp := sync.OnceFunc(func() {
		_ = s.Shim.Close() // what could be read or written has been
		_ = s.Client.Close()
	})
	stop := context.AfterFunc(ctx, hangUp)
	defer stop()
	escaped := make(chan bool, 1)
	left := make(chan struct{}) // the client has gone, or detached
	go func() {
		keys, err := s.copyInput()
		escaped <- keys
		if err != nil {
			close(left)
			hangUp()
		}
	}()
	_, err := io.Copy(s.Client, s.Shim) // ends with the output, or when either side hangs up
	if err == nil && s.Settled != nil {
		select {
		case <-s.Settled:
		case <-left:
		case <-ctx.Done():
		}
	}
	_ = s.Client.CloseWrite() // a client that has gone needs no end
	hangUp()
	return <-escaped
}

// copyInput copies to the process until the input ends; an error says that the
// client has gone or detached, by its keys or not.
func (s Streams) copyInput() (keys bool, err error) {
	input := io.Reader(s.Client)
	if len(s.Keys) > 0 {
		input = term.NewEscapeProxy(input, s.Keys)
	}
	// Without input the copy still notices that the client has gone.
	output := io.Discard
	if s.Stdin {
		output = s.Shim
	}
	_, err = io.Copy(output, input)
	var escape term.EscapeError
	if err == nil && s.Stdin {
		_ = s.Shim.CloseWrite() // fails when the process has ended, which needs no end of input
	}
	return errors.As(err, &escape), err
}

// Keys reads the choice of detach keys; the default is Docker's, and only a
// terminal has any. InvalidArgument: not keys.
func Keys(choice string, tty bool) ([]byte, error) {
	keys := []byte{16, 17} // ctrl-p, ctrl-q
	if choice != "" {
		var err error
		if keys, err = term.ToBytes(choice); err != nil {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("Invalid detach keys (%s) provided", choice))
		}
	}
	if !tty {
		return nil, nil
	}
	return keys, nil
}
