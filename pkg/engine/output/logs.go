package output

import (
	"context"
	"io"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/logs"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
)

// LogsOptions are those of GET /containers/{id}/logs.
type LogsOptions struct {
	Stdout, Stderr bool
	Follow         bool
	Timestamps     bool
	Details        bool
	Since, Until   time.Time
	Tail           int // lines from the end; -1 is all
}

// OpenWriter begins a streamed answer once the request is accepted; tty says
// which of Docker's two stream formats follows.
type OpenWriter func(tty bool) (io.Writer, error)

// Logs writes a container's log in Docker's stream format. It ends with the
// log, or, following, when the container has ended. InvalidArgument: neither
// stdout nor stderr. NotImplemented: its log driver keeps nothing to read.
func (s *Streams) Logs(ctx context.Context, ref string, o LogsOptions, open OpenWriter) error {
	u, err := s.Units.Find(ref)
	if err != nil {
		return err
	}
	if !o.Stdout && !o.Stderr {
		return errdefs.ErrInvalidArgument.WithMessage("Bad parameters: you must choose at least one stream")
	}
	v := u.View()
	log := s.Log(v.Record)
	if err := logs.Readable(log); err != nil {
		return err
	}
	w, err := open(v.Record.Config.Tty)
	if err != nil {
		return err
	}
	return readLog(ctx, log, v, o, w)
}

// readLog writes the log of a container as it is at one moment, or follows it
// to the end of that run.
func readLog(ctx context.Context, log streams.Log, v *unit.View, o LogsOptions, w io.Writer) error {
	l := &lineWriter{w: w, tty: v.Record.Config.Tty, o: o}
	err := logs.Read(ctx, log, logs.ReadOptions{
		Since: o.Since, Until: o.Until, Tail: o.Tail, Follow: o.Follow,
		Stdout: o.Stdout, Stderr: o.Stderr, Done: ended(v), CaughtUp: l.flush,
	}, l.write)
	if failed := l.flush(); err == nil { // also what came before an error
		err = failed
	}
	return err
}

// ended is closed when the run of that moment is over; at once, if there is none.
func ended(v *unit.View) <-chan struct{} {
	if v.Ended != nil {
		return v.Ended
	}
	over := make(chan struct{})
	close(over)
	return over
}

// batchSize is how many bytes of lines are gathered before they are written.
const batchSize = 64 << 10

// stampFormat is Docker's: all stamps are as long.
const stampFormat = "2006-01-02T15:04:05.000000000Z07:00"

// lineWriter gives log messages the form that the logs endpoint sends, a frame for
// each line as clients expect, and gathers them.
type lineWriter struct {
	w    io.Writer
	tty  bool
	o    LogsOptions
	buf  []byte    // not written yet
	err  error     // of a write; the last one
	at   time.Time // what stamp says
	mark []byte    // stamp and space before a line
}

func (l *lineWriter) write(m *logs.Message) error {
	start := len(l.buf)
	if !l.tty {
		l.buf = append(l.buf, make([]byte, streams.HeaderSize)...)
	}
	if l.o.Timestamps {
		l.buf = append(l.buf, l.stamp(m.Time)...)
	}
	if l.o.Details {
		l.buf = appendAttrs(l.buf, m.Attrs)
	}
	l.buf = append(l.buf, m.Line...)
	if !l.tty {
		stream := streams.Stdout
		if m.Source == "stderr" {
			stream = streams.Stderr
		}
		streams.PutHeader(l.buf[start:], stream, len(l.buf)-start-streams.HeaderSize)
	}
	if len(l.buf) < batchSize {
		return nil
	}
	return l.flush()
}

// stamp is t and a space. Neighbouring lines often share it.
func (l *lineWriter) stamp(t time.Time) []byte {
	if len(l.mark) == 0 || t != l.at {
		l.at = t
		l.mark = append(t.UTC().AppendFormat(l.mark[:0], stampFormat), ' ')
	}
	return l.mark
}

// flush writes what was gathered.
func (l *lineWriter) flush() error {
	if len(l.buf) == 0 || l.err != nil {
		return l.err
	}
	_, l.err = l.w.Write(l.buf)
	l.buf = l.buf[:0]
	return l.err
}

// appendAttrs appends a=b,c=d and a space, as `logs --details` shows it.
func appendAttrs(b []byte, attrs map[string]string) []byte {
	for i, k := range slices.Sorted(maps.Keys(attrs)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, url.QueryEscape(k)...), '=')
		b = append(b, url.QueryEscape(attrs[k])...)
	}
	return append(b, ' ')
}
