// Package progress tells how far a pull or push is, in the words of Docker's
// stream of JSON messages: clients show bars by them, and scripts read them.
package progress

import (
	"encoding/json"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
)

// interval is how often the bytes of one layer are told.
const interval = 100 * time.Millisecond

// Reporter writes the stream of one operation. Its methods may be called
// concurrently.
type Reporter struct {
	send func(jsonstream.Message) error
	fail func(error) // called when send does, which ends the operation

	mu     sync.Mutex // guards what follows, and keeps messages whole
	layers map[digest.Digest]*layer
	quiet  bool // nothing about layers: all were here
}

// layer is what was told of one.
type layer struct {
	fetched bool
	here    bool // its blob is
	done    bool
	told    time.Time
}

// New makes a Reporter. send passes a message to the client; when it fails, fail
// is told.
func New(send func(jsonstream.Message) error, fail func(error)) *Reporter {
	return &Reporter{send: send, fail: fail, layers: map[digest.Digest]*layer{}}
}

func (r *Reporter) tellLocked(m jsonstream.Message) {
	if err := r.send(m); err != nil {
		r.fail(err)
	}
}

// Message sends a line, of a layer or tag if id is given.
func (r *Reporter) Message(id, status string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tellLocked(jsonstream.Message{ID: id, Status: status})
}

// Aux sends what is for programs.
func (r *Reporter) Aux(v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		r.fail(err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tellLocked(jsonstream.Message{Aux: (*json.RawMessage)(&raw)})
}

// tell changes the state of a layer and tells it, unless change refuses.
func (r *Reporter) tell(id digest.Digest, status string, p *jsonstream.Progress, change func(*layer) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.layers[id]
	if l == nil {
		l = &layer{}
		r.layers[id] = l
	}
	if !change(l) || r.quiet {
		return
	}
	r.tellLocked(jsonstream.Message{ID: short(id), Status: status, Progress: p})
}

func always(*layer) bool { return true }

// plain is the progress of a state without numbers.
func plain() *jsonstream.Progress { return &jsonstream.Progress{HideCounts: true} }

// bytes tells how many of total bytes are done, not too often.
func (r *Reporter) bytes(id digest.Digest, status string, n, total int64, change func(*layer)) {
	now := time.Now()
	r.tell(id, status, &jsonstream.Progress{Current: n, Total: total}, func(l *layer) bool {
		change(l)
		if n < total && now.Sub(l.told) < interval {
			return false
		}
		l.told = now
		return true
	})
}

// short is a digest as progress lines show it.
func short(id digest.Digest) string {
	_, hex, _ := strings.Cut(id.String(), ":")
	return hex[:min(12, len(hex))]
}
