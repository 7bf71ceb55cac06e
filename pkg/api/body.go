package api

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"time"
)

// maxBody bounds the body of requests that do not stream, in bytes. The
// largest that clients send in earnest, creates with long environments or
// many mounts, are well below 1 MiB.
const maxBody = 4 << 20

// HasBody says whether the request carries a body, as far as its headers tell.
func (r *Request) HasBody() bool {
	return r.Body != nil && r.ContentLength != 0
}

// LimitBody bounds the body of a streaming route that begins with a JSON body, in
// its length and in the time that the client may take to send it.
func (r *Request) LimitBody(w http.ResponseWriter) {
	r.Body = http.MaxBytesReader(w, &timedBody{ReadCloser: r.Body, conn: http.NewResponseController(w), patience: r.patience}, maxBody)
}

// timedBody must have been read patience after its first byte was asked for.
type timedBody struct {
	io.ReadCloser
	conn     *http.ResponseController
	patience time.Duration
	begun    bool
}

func (b *timedBody) Read(p []byte) (int, error) {
	if !b.begun {
		b.begun = true
		_ = b.conn.SetReadDeadline(time.Now().Add(b.patience))
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		// net/http reads on, to notice a client that goes away: it must not take the
		// deadline for that.
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}

// ReadJSON decodes the body into out. No body leaves out as it is. The body
// is read to its end, so that a connection that is hijacked afterwards begins
// with the first byte of the stream. A wrong content type, broken JSON and
// data after it are InvalidArgument.
func (r *Request) ReadJSON(out any) error {
	if err := r.checkJSON(); err != nil {
		return err
	}
	if !r.HasBody() {
		return nil
	}
	dec := json.NewDecoder(r.Body)
	switch err := dec.Decode(out); {
	case errors.Is(err, io.EOF):
		return Invalid("invalid JSON: got EOF while reading request body")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return Invalid("invalid JSON: timed out while reading request body")
	case err != nil:
		return Invalid("invalid JSON: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Invalid("unexpected content after JSON")
	}
	return nil
}

func (r *Request) checkJSON() error {
	ct := r.Header.Get("Content-Type")
	if ct == "" && !r.HasBody() {
		return nil
	}
	switch media, _, err := mime.ParseMediaType(ct); {
	case err != nil:
		return Invalid("malformed Content-Type header (%s): %v", ct, err)
	case media != "application/json":
		return Invalid("unsupported Content-Type header (%s): must be 'application/json'", ct)
	}
	return nil
}
