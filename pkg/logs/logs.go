// Package logs keeps what containers print: the shim writes through a Driver, the
// API reads with Read, in two processes that share nothing but the files. A driver
// never fails the container, and one that keeps files never blocks it, whatever the
// disk does; it may drop lines then and says so. One that sends the log elsewhere
// makes the container wait for its server as Docker's blocking mode does, and keeps
// a local copy for Read. Logs are bounded unless the user asks otherwise
// (jsonfile.DefaultMaxSize × jsonfile.DefaultMaxFile), unlike Docker's json-file,
// which fills the disk.
package logs

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	units "github.com/docker/go-units"

	"github.com/berth-engine/berth/pkg/logs/files"
	"github.com/berth-engine/berth/pkg/logs/jsonfile"
	"github.com/berth-engine/berth/pkg/logs/local"
	"github.com/berth-engine/berth/pkg/logs/record"
	"github.com/berth-engine/berth/pkg/streams"
)

// Names of the drivers, Docker's.
const (
	JSONFile = "json-file"
	Local    = "local"
	None     = "none"
	Syslog   = "syslog"
	Journald = "journald"
	Fluentd  = "fluentd"
)

// Drivers are the names that info shows, in order; as in Docker, None is not among
// them.
func Drivers() []string { return []string{Fluentd, Journald, JSONFile, Local, Syslog} }

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
	// Close writes the lines that have no newline yet and ends the log. It waits as
	// Write does.
	Close() error
	// Stop has Write and Close wait for no server any more, now and later.
	Stop()
}

// Path is where in a container's folder its log stands, or the local copy of one
// that is sent elsewhere; "" when there is none.
func Path(dir, id, driver string, opts map[string]string) string {
	switch driver {
	case None, "":
		return ""
	case JSONFile:
		return filepath.Join(dir, id+"-json.log")
	case Local:
		return filepath.Join(dir, "local-logs", "container.log")
	}
	if cacheDisabled(opts) {
		return ""
	}
	return filepath.Join(dir, "container-cached.log")
}

// Read gives the entries of log to each, oldest first, and returns the error of
// each when that ends it. The message is valid until each returns. A log that has
// not been written yet is empty. NotImplemented: the log cannot be read.
func Read(ctx context.Context, log streams.Log, o ReadOptions, each func(*Message) error) error {
	if err := Readable(log); err != nil {
		return err
	}
	if log.Driver == JSONFile {
		return jsonfile.Read(ctx, log.Path, o, each)
	}
	return local.Read(ctx, log.Path, o, each)
}

// Readable returns the error that Read gives for a log that cannot be read.
func Readable(log streams.Log) error {
	if log.Driver == None || log.Path == "" {
		return errdefs.ErrNotImplemented.WithMessage("configured logging driver does not support reading")
	}
	return nil
}

// Bound says what a container's log may grow to, for people.
func Bound(driver string, opts map[string]string) string {
	var l files.Limits
	switch driver {
	case JSONFile:
		l = jsonfile.Limits(opts)
	case Local:
		l = local.Limits(opts)
	}
	if l.MaxSize == 0 {
		return "none"
	}
	return fmt.Sprintf("%d files of %s", l.MaxFile, units.HumanSize(float64(l.MaxSize)))
}

func unknown(driver string) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("logger: no log driver named '%s' is registered", driver))
}
