// Package logs keeps what containers print: the shim writes through a Driver, the
// API reads with Read, in two processes that share nothing but the files. A
// driver never blocks or fails the container, whatever the disk does; it may drop
// lines then and says so. Logs are bounded unless the user asks otherwise
// (jsonfile.DefaultMaxSize × jsonfile.DefaultMaxFile), unlike Docker's json-file,
// which fills the disk.
package logs

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"

	"github.com/berth-engine/berth/pkg/logs/jsonfile"
	"github.com/berth-engine/berth/pkg/logs/record"
	"github.com/berth-engine/berth/pkg/streams"
)

// Names of the drivers, Docker's.
const (
	JSONFile = "json-file"
	None     = "none"
)

// Message is one entry of a log.
type Message = record.Message

// ReadOptions says which entries Read gives.
type ReadOptions = record.ReadOptions

// Driver writes a log. It is safe for concurrent use.
type Driver interface {
	// Write takes what the container wrote to source ("stdout", "stderr") at t,
	// with any boundaries. An error is for the shim's own log: those bytes are
	// lost, later ones may not be.
	Write(source string, t time.Time, p []byte) error
	// Close writes the lines that have no newline yet and ends the log.
	Close() error
}

// Open makes the driver that log names. An empty driver is None.
func Open(log streams.Log) (Driver, error) {
	switch log.Driver {
	case JSONFile:
		return jsonfile.Open(log.Path, log.Options, log.Attrs)
	case None, "":
		return discard{}, nil
	}
	return nil, unknown(log.Driver)
}

// Read gives the entries of log to each, oldest first, and returns the error of
// each when that ends it. The message is valid until each returns. A log that has
// not been written yet is empty. NotImplemented: the driver cannot be read.
func Read(ctx context.Context, log streams.Log, o ReadOptions, each func(*Message) error) error {
	switch log.Driver {
	case JSONFile:
		return jsonfile.Read(ctx, log.Path, o, each)
	case None, "":
		return errdefs.ErrNotImplemented.WithMessage("configured logging driver does not support reading")
	}
	return unknown(log.Driver)
}

func unknown(driver string) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("logger: no log driver named '%s' is registered", driver))
}

type discard struct{}

func (discard) Write(string, time.Time, []byte) error { return nil }
func (discard) Close() error                          { return nil }
