// Package golden asks two engines the same questions and tells where their
// answers differ: in status, in the headers that clients read, in the shape of
// JSON (null or empty, types, case of keys), and in values, with those masked that
// differ by nature, such as IDs and times.
package golden

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// Engine is one of the two.
type Engine struct {
	Name   string
	Socket string
	Root   string // paths below it are masked
	// Wrap, when given, is put around the transport.
	Wrap func(http.RoundTripper) http.RoundTripper
	Vars map[string]string // that a script may name, besides those that answers set
	vars map[string]string // that answers set
}

// Difference is one place where the answers to a request are not alike.
type Difference struct {
	Request string // "GET /v1.41/info"
	Field   string // "status", "header Content-Type", "body.Plugins.Volume[]"
	A, B    string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s | %s | %s | %s", d.Request, d.Field, d.A, d.B)
}

// Compare runs a script on both engines, at an API version ("1.41"), each step on
// a and then on b.
func Compare(ctx context.Context, a, b *Engine, version string, script []Step) ([]Difference, error) {
	var all []Difference
	a.vars, b.vars = map[string]string{}, map[string]string{}
	for _, s := range script {
		ra, err := a.do(ctx, version, s)
		if err != nil {
			return all, fmt.Errorf("%s: %s: %w", a.Name, s.Request(), err)
		}
		rb, err := b.do(ctx, version, s)
		if err != nil {
			return all, fmt.Errorf("%s: %s: %w", b.Name, s.Request(), err)
		}
		for _, d := range compareAnswers(ra, rb) {
			d.Request = s.Method + " /v" + version + s.Target
			all = append(all, d)
		}
	}
	return all, nil
}

// Run asks one engine all that a script has, in the newest version of the API, and
// hands the status of each step and the message of an error to seen.
func Run(ctx context.Context, e *Engine, script []Step, seen func(s Step, status int, message string)) error {
	e.vars = maps.Clone(e.Vars)
	for _, s := range script {
		a, err := e.do(ctx, "", s)
		for end := time.Now().Add(patience); err == nil && s.Until != "" && a.status < http.StatusBadRequest && !says(a.body, s.Until); {
			if time.Now().After(end) {
				return fmt.Errorf("%s: no %s after %v", s.Request(), s.Until, patience)
			}
			time.Sleep(10 * time.Millisecond) // as a client that polls
			a, err = e.do(ctx, "", s)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.Request(), err)
		}
		seen(s, a.status, message(a.body))
	}
	return nil
}

// says tells whether a field has a value.
func says(body any, field string) bool {
	switch text(body, field) {
	case "", "<nil>", "[]", "map[]", "0", "false":
		return false
	}
	return true
}

// answer is what is compared of a response.
type answer struct {
	status  int // 0: there was none in time
	headers map[string]string
	body    any    // decoded JSON, or
	text    string // what is none
}

// compared are the headers that clients read.
var compared = []string{"Content-Type", "Ostype", "Docker-Experimental", "Cache-Control", "Pragma", "X-Docker-Container-Path-Stat"}

// patience is how long an answer may take: an engine that waits for something is
// one that has no answer.
const patience = 20 * time.Second

func (e *Engine) do(ctx context.Context, version string, s Step) (*answer, error) {
	var body io.Reader
	if s.File != "" {
		b, err := os.ReadFile(s.File)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	} else if s.Body != "" {
		body = strings.NewReader(e.expand(s.Body))
	}
	if version != "" {
		version = "/v" + version
	}
	r, err := http.NewRequestWithContext(ctx, s.Method, "http://engine"+version+e.expand(s.Target), body)
	if err != nil {
		return nil, err
	}
	if s.File != "" {
		r.Header.Set("Content-Type", "application/x-tar")
	} else if s.Body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	var transport http.RoundTripper = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", e.Socket)
	}}
	if e.Wrap != nil {
		transport = e.Wrap(transport)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp, err := transport.RoundTrip(r.WithContext(ctx))
	if errors.Is(err, context.DeadlineExceeded) {
		return &answer{headers: map[string]string{}}, nil
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	out := &answer{status: resp.StatusCode, headers: map[string]string{}}
	for _, h := range compared {
		out.headers[h] = resp.Header.Get(h)
	}
	if out.body, err = decode(raw); err != nil {
		out.body, out.text = nil, e.mask(string(raw))
	}
	for name, field := range s.Save {
		e.vars[name] = text(out.body, field)
	}
	out.body = e.maskValue("", out.body, false)
	return out, nil
}

// decode reads JSON: one value, or a stream of them as a list.
func decode(raw []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var all []any
	for {
		var v any
		err := dec.Decode(&v)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		return all[0], nil
	}
	return all, nil
}

// text finds a string by its path, "State.Pid".
func text(v any, field string) string {
	for key := range strings.SplitSeq(field, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[key]
	}
	return fmt.Sprint(v)
}

// expand puts saved values in the place of $NAME.
func (e *Engine) expand(s string) string {
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(e.vars))) {
		s = strings.ReplaceAll(s, "$"+name, e.vars[name])
	}
	return s
}
