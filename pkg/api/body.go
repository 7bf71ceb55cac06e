package api

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
)

// maxBody bounds the body of requests that do not stream, in bytes. The
// largest that clients send in earnest, creates with long environments or
// many mounts, are well below 1 MiB.
const maxBody = 4 << 20

// HasBody says whether the request carries a body, as far as its headers tell.
func (r *Request) HasBody() bool {
	return r.Body != nil && r.ContentLength != 0
}

// LimitBody bounds the body of a streaming route that begins with a JSON body.
func (r *Request) LimitBody(w http.ResponseWriter) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
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
