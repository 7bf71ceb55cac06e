package output

import (
	"bytes"
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
	return logs.Read(ctx, log, logs.ReadOptions{
		Since: o.Since, Until: o.Until, Tail: o.Tail, Follow: o.Follow,
		Stdout: o.Stdout, Stderr: o.Stderr, Done: ended(v),
	}, newLineWriter(w, v.Record.Config.Tty, o).write)
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

// lineWriter gives log messages the form that the logs endpoint sends.
type lineWriter struct {
	out, err io.Writer
	o        LogsOptions
	line     bytes.Buffer
}

func newLineWriter(w io.Writer, tty bool, o LogsOptions) *lineWriter {
	if tty {
		return &lineWriter{out: w, err: w, o: o}
	}
	return &lineWriter{out: streams.NewFrameWriter(w, streams.Stdout), err: streams.NewFrameWriter(w, streams.Stderr), o: o}
}

func (l *lineWriter) write(m *logs.Message) error {
	w := l.out
	if m.Source == "stderr" {
		w = l.err
	}
	l.line.Reset()
	if l.o.Timestamps {
		l.line.WriteString(m.Time.UTC().Format(time.RFC3339Nano))
		l.line.WriteByte(' ')
	}
	if l.o.Details {
		writeAttrs(&l.line, m.Attrs)
	}
	l.line.Write(m.Line)
	_, err := w.Write(l.line.Bytes())
	return err
}

// writeAttrs writes a=b,c=d and a space, as `logs --details` shows it.
func writeAttrs(b *bytes.Buffer, attrs map[string]string) {
	for i, k := range slices.Sorted(maps.Keys(attrs)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(url.QueryEscape(k))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(attrs[k]))
	}
	b.WriteByte(' ')
}
