package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// WriteJSON answers with v. It is encoded before the first byte is sent, so
// that a value that cannot be is still answered with an error's status.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	_, err := w.Write(buf.Bytes())
	return err
}

// NoContent answers with 204.
func NoContent(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// response remembers how far the answer has come, which decides how an error
// can still be told.
type response struct {
	http.ResponseWriter
	started  bool // a status was sent
	status   int
	endpoint *endpoint // nil until it is found
	hijacked bool
	duplex   bool // the body may be read after the answer has begun
	bounded  bool // the answer is no stream: patience begins with its first byte
	patience time.Duration
}

// deadline is the time from which a slow client is not waited for any more.
func (w *response) deadline() time.Time { return time.Now().Add(w.patience) }

func (w *response) WriteHeader(status int) {
	w.status = status
	w.start()
	w.ResponseWriter.WriteHeader(status)
}

func (w *response) Write(p []byte) (int, error) {
	w.start()
	return w.ResponseWriter.Write(p)
}

func (w *response) start() {
	if !w.started && w.bounded {
		_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(w.deadline())
	}
	w.started = true
}

// maxDrained bounds, in bytes, what is read of a body that its handler did not
// want: enough for the rest of an image archive.
const maxDrained = 1 << 30

// finish bounds what net/http does when the handler has returned: it sends the end
// of the answer and reads the end of the body.
//
// After a stream it sends the answer and reads what the client still sends. Without
// that the client would have its connection reset while it writes, and might not see
// why its archive was refused. Nor does net/http take the next request on a
// full duplex connection whose last body was not read to its end.
func (w *response) finish(r *http.Request) {
	conn := http.NewResponseController(w.ResponseWriter)
	rest := w.deadline()
	if w.duplex {
		rest = rest.Add(9 * w.patience) // archives are long
	}
	_ = conn.SetReadDeadline(rest)
	_ = conn.SetWriteDeadline(rest.Add(w.patience)) // net/http reads first
	if !w.duplex {
		return
	}
	if err := w.FlushError(); err != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, r.Body, maxDrained)
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) Flush() { _ = w.FlushError() }

func (w *response) FlushError() error {
	w.start()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.started, w.hijacked = true, true
	}
	return conn, rw, err
}

// FinishJSON writes v as the body of an answer whose headers may be out already.
func FinishJSON(w http.ResponseWriter, v any) error {
	raw, err := encode(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(append(raw, '\n'))
	return err
}
