package contract

import (
	"bytes"
	"io"
	"net/http"
	"sync"
)

// maxChecked bounds how much of a body is kept to be checked, in bytes; a
// longer one is a stream of output, of which the beginning says enough.
const maxChecked = 16 << 20

// Transport checks every answer that passes base, when its body has been read
// to the end or closed, and hands what is wrong to report.
func (v *Validator) Transport(base http.RoundTripper, report func(error)) http.RoundTripper {
	return &transport{v: v, base: base, report: report}
}

type transport struct {
	v      *Validator
	base   http.RoundTripper
	report func(error)
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	method, path := r.Method, r.URL.Path
	check := func(body []byte, whole bool) {
		if err := t.v.check(method, path, answer{resp.StatusCode, resp.Header, body, whole}); err != nil {
			t.report(err)
		}
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		check(nil, true) // the body is the connection
		return resp, nil
	}
	resp.Body = &checkedBody{ReadCloser: resp.Body, check: check}
	return resp, nil
}

// checkedBody keeps what is read.
type checkedBody struct {
	io.ReadCloser
	kept  bytes.Buffer
	cut   bool
	once  sync.Once
	check func(body []byte, whole bool)
}

func (b *checkedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if room := maxChecked - b.kept.Len(); n > room {
		b.cut = true
		b.kept.Write(p[:room])
	} else {
		b.kept.Write(p[:n])
	}
	if err == io.EOF {
		b.done(!b.cut)
	}
	return n, err
}

func (b *checkedBody) Close() error {
	b.done(false)
	return b.ReadCloser.Close()
}

func (b *checkedBody) done(whole bool) {
	b.once.Do(func() { b.check(b.kept.Bytes(), whole) })
}
