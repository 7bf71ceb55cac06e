package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/moby/moby/api/types"
	"github.com/moby/moby/api/types/jsonstream"

	"github.com/berth-engine/berth/pkg/streams"
)

// Flushed sends each write to the client at once.
type Flushed struct{ W http.ResponseWriter }

func (f Flushed) Write(p []byte) (int, error) {
	n, err := f.W.Write(p)
	if err == nil {
		err = http.NewResponseController(f.W).Flush()
	}
	return n, err
}

// Begin sends the status and headers, without waiting for a body.
func Begin(w http.ResponseWriter, contentType string) error {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(http.StatusOK)
	return http.NewResponseController(w).Flush()
}

// Progress is a stream of JSON messages, as image operations answer with. The
// status goes out with the first message, so that an operation that fails
// before it still gets its own.
type Progress struct {
	mu      sync.Mutex // guards all below: messages come from several goroutines
	w       http.ResponseWriter
	started bool
}

// NewProgress makes one.
func NewProgress(w http.ResponseWriter) *Progress { return &Progress{w: w} }

// Send writes a message and flushes it.
func (p *Progress) Send(m jsonstream.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sendLocked(m)
}

// wireMessage adds the field that held errors before API 1.4, which clients
// (docker-py among them) still look for.
type wireMessage struct {
	jsonstream.Message
	OldError string `json:"error,omitempty"`
}

func (p *Progress) sendLocked(m jsonstream.Message) error {
	out := wireMessage{Message: m}
	if m.Error != nil {
		out.OldError = m.Error.Message
	}
	line, err := encode(out)
	if err != nil {
		return err
	}
	if !p.started {
		p.started = true
		p.w.Header().Set("Content-Type", "application/json")
		p.w.WriteHeader(http.StatusOK)
	}
	_, err = Flushed{p.w}.Write(append(line, "\r\n"...))
	return err
}

// End finishes the stream with the operation's error: returned when nothing
// was sent yet, else sent as the last message.
func (p *Progress) End(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil && !p.started:
		return err
	case err != nil:
		e := &jsonstream.Error{Message: err.Error()}
		var coded interface{ Code() int }
		if errors.As(err, &coded) {
			e.Code = coded.Code() // of a build's command
		}
		return p.sendLocked(jsonstream.Message{Error: e})
	case !p.started:
		p.started = true
		return Begin(p.w, "application/json")
	}
	return nil
}

// Output is the body of a raw or multiplexed stream that is not hijacked (logs).
type Output struct {
	r      *Request
	resp   http.ResponseWriter
	w      io.Writer // of the body
	tty    bool
	opened bool
}

// NewOutput makes one. With follow each write reaches the client at once.
func NewOutput(w http.ResponseWriter, r *Request, follow bool) *Output {
	o := &Output{r: r, resp: w, w: w}
	if follow {
		o.w = Flushed{w}
	}
	return o
}

// Open sends the headers; it is an engine.OpenWriter.
func (o *Output) Open(tty bool) (io.Writer, error) {
	if err := Begin(o.resp, o.r.StreamType(tty)); err != nil {
		return nil, err
	}
	o.opened, o.tty = true, tty
	return o.w, nil
}

// End finishes the stream. An error that comes after Open is written into it
// as Docker does: on its third stream, which clients print as an error.
func (o *Output) End(err error) error {
	if !o.opened {
		return err
	}
	if err == nil || o.r.Context().Err() != nil {
		return nil
	}
	text := fmt.Appendf(nil, "Error grabbing logs: %v\n", err)
	if !o.tty {
		head := make([]byte, streams.HeaderSize)
		streams.PutHeader(head, streams.Systemerr, len(text))
		text = append(head, text...)
	}
	_, err = o.w.Write(text)
	return err
}

// Lines is a stream of JSON values, one a line.
type Lines struct {
	w           http.ResponseWriter
	contentType string
	begun       bool
}

// NewLines makes one, with the content type that the client prefers of those
// that hold many values (API 1.52), or Docker's old untruth that the whole is
// one JSON value.
func NewLines(w http.ResponseWriter, r *Request) *Lines {
	return &Lines{w: w, contentType: lineType(r)}
}

// Begin sends the headers. Send does so too, when nobody has.
func (l *Lines) Begin() {
	if !l.begun {
		l.begun = true
		_ = Begin(l.w, l.contentType) // a client that is gone is noticed by Send
	}
}

// Send writes one value and flushes it.
func (l *Lines) Send(v any) error {
	raw, err := encode(v)
	if err != nil {
		return err
	}
	l.Begin()
	if l.contentType == types.MediaTypeJSONSequence {
		raw = append([]byte{0x1e}, raw...) // RFC 7464
	}
	_, err = Flushed{l.w}.Write(append(raw, '\n'))
	return err
}
