package streams

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
)

// maxLine bounds a line of the handshake, newline included.
const maxLine = 64 << 10

// Request is the first line that a client sends on a container's stream socket.
type Request struct {
	Exec                  string `json:",omitempty"` // "" = the container's init process
	Stdin, Stdout, Stderr bool   // the streams to join

	// No streams, but one of these:
	Ports *PortsRequest `json:",omitempty"`
	Names bool          `json:",omitempty"` // the container's networks have changed
}

// Response is the shim's one line of answer. An empty Class grants the request.
type Response struct {
	Class string `json:",omitempty"` // of errdefs
	Error string `json:",omitempty"`
}

// classes are the errdefs that keep their identity across the socket.
var classes = []struct {
	name string
	err  error
	is   func(error) bool
}{
	{"not found", errdefs.ErrNotFound, errdefs.IsNotFound},
	{"invalid argument", errdefs.ErrInvalidArgument, errdefs.IsInvalidArgument},
	{"conflict", errdefs.ErrConflict, errdefs.IsConflict},
	{"failed precondition", errdefs.ErrFailedPrecondition, errdefs.IsFailedPrecondition},
	{"resource exhausted", errdefs.ErrResourceExhausted, errdefs.IsResourceExhausted},
	{"unavailable", errdefs.ErrUnavailable, errdefs.IsUnavailable},
}

// NewResponse is the answer that err stands for; nil grants.
func NewResponse(err error) Response {
	if err == nil {
		return Response{}
	}
	for _, c := range classes {
		if c.is(err) {
			return Response{Class: c.name, Error: err.Error()}
		}
	}
	return Response{Class: "unknown", Error: err.Error()}
}

// Err is the error that the response stands for, of the class that it had in the
// shim (errdefs.ErrUnknown for one that is not known here).
func (r Response) Err() error {
	if r.Class == "" && r.Error == "" {
		return nil
	}
	for _, c := range classes {
		if c.name == r.Class {
			return classed{c.err, r.Error}
		}
	}
	return classed{errdefs.ErrUnknown, r.Error}
}

// classed prints its text alone and is of its class.
type classed struct {
	class error
	text  string
}

func (e classed) Error() string { return e.text }
func (e classed) Unwrap() error { return e.class }

// ReadRequest reads a client's request and not one byte more.
func ReadRequest(r io.Reader) (Request, error) {
	var q Request
	return q, readLine(r, &q)
}

// WriteResponse answers a request.
func WriteResponse(w io.Writer, r Response) error { return writeLine(w, r) }

// readLine decodes one line of JSON. It reads byte by byte since what follows the
// line belongs to another reader; the lines are short and come once.
func readLine(r io.Reader, v any) error {
	line := make([]byte, 0, 256)
	var b [1]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if b[0] == '\n' {
			break
		}
		if line = append(line, b[0]); len(line) == maxLine {
			return fmt.Errorf("stream handshake: line longer than %d bytes: %w", maxLine, errdefs.ErrInvalidArgument)
		}
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("stream handshake: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	return nil
}

func writeLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}
