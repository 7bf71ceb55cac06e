// Package split makes log entries of what a container prints: an entry ends at a
// newline or, as Docker's do, after record.MaxLine bytes.
package split

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/berth-engine/berth/pkg/logs/record"
)

// Splitter splits the two outputs of one container. It is for one goroutine.
type Splitter struct {
	add     func(*record.Message)
	sources [2]source
	msg     record.Message
}

// source is what one output has unfinished.
type source struct {
	rest    []byte    // less than MaxLine bytes without a newline
	first   time.Time // of a line in parts, which share it
	partial *record.Partial
}

// New gives each entry to add, valid until add returns.
func New(add func(*record.Message)) *Splitter { return &Splitter{add: add} }

// Write takes what the container wrote to name ("stderr", else stdout) at t, with
// any boundaries.
func (s *Splitter) Write(name string, t time.Time, p []byte) {
	i := 0
	if name == "stderr" {
		i = 1
	}
	src := &s.sources[i]
	s.msg.Source = [...]string{"stdout", "stderr"}[i]
	for len(p) > 0 {
		room := p[:min(len(p), record.MaxLine-len(src.rest))]
		if i := bytes.IndexByte(room, '\n'); i >= 0 {
			s.entry(src, p[:i+1], t)
			p = p[i+1:]
			continue
		}
		if len(room)+len(src.rest) < record.MaxLine {
			src.rest = append(src.rest, p...)
			return
		}
		s.entry(src, room, t)
		p = p[len(room):]
	}
}

// End makes entries of the lines that have no newline yet.
func (s *Splitter) End(now time.Time) {
	for i, name := range [...]string{"stdout", "stderr"} {
		if src := &s.sources[i]; len(src.rest) > 0 {
			s.msg.Source = name
			s.entry(src, nil, now)
		}
	}
}

// entry gives away what src.rest and p make.
func (s *Splitter) entry(src *source, p []byte, t time.Time) {
	if len(src.rest) > 0 {
		src.rest = append(src.rest, p...)
		p = src.rest
	}
	s.msg.Line, s.msg.Time, s.msg.Partial = p, t, nil
	whole := p[len(p)-1] == '\n'
	if src.partial != nil || !whole {
		if src.partial == nil {
			src.first, src.partial = t, &record.Partial{ID: newID()}
		}
		part := *src.partial
		part.Ordinal++
		part.Last = whole
		src.partial, s.msg.Partial, s.msg.Time = &part, &part, src.first
		if whole {
			src.partial = nil
		}
	}
	s.add(&s.msg)
	if src.rest = src.rest[:0]; cap(src.rest) > 4<<10 {
		src.rest = nil // long lines are rare, and a shim lives for months
	}
}

// newID is what Docker's are: 32 random bytes in hex.
func newID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
