// Package contract holds HTTP answers against the schema of the Docker Engine
// API (swagger.yaml of github.com/moby/moby/api): status, content type,
// headers and body. Tests wrap their client's transport in it, so that every
// answer that they cause is checked, and ask it afterwards which operations
// they have exercised.
//
// An answer is held against the schema of the version in the request's path,
// from 1.25 on; without one, against the newest.
package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"github.com/berth-engine/berth/pkg/version"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/moby/moby/api/types"
)

// Validator checks answers. It may be used from several goroutines.
type Validator struct {
	dir string

	mu        sync.Mutex // guards all below
	specs     map[string]*spec
	exercised map[string]bool
	seen      map[string]map[string]bool // fields, by operation
}

// New reads the newest schema. It needs the go command, which knows where the
// module lies.
func New() (*Validator, error) {
	dir, err := moduleDir()
	if err != nil {
		return nil, err
	}
	v := &Validator{dir: dir, specs: map[string]*spec{}, exercised: map[string]bool{}, seen: map[string]map[string]bool{}}
	_, err = v.spec("")
	return v, err
}

// Operation is an operation of the newest schema.
type Operation struct{ ID, Method, Path string }

// spec gives the schema of a version; nil when it has none.
func (v *Validator) spec(name string) (*spec, error) {
	if name == version.MaxAPI {
		name = ""
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if s, ok := v.specs[name]; ok {
		return s, nil
	}
	s, err := load(schemaFile(v.dir, name), name != "")
	if errors.Is(err, os.ErrNotExist) {
		s, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	v.specs[name] = s
	return s, nil
}

// Exercised lists the operations that gave an answer other than an error, by
// operationId, sorted.
func (v *Validator) Exercised() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Sorted(maps.Keys(v.exercised))
}

// Record notes an operation that was exercised on a connection that no
// Transport sees (an upgraded one).
func (v *Validator) Record(operationID string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.exercised[operationID] = true
}

// Operations lists all of the newest schema, in no order.
func (v *Validator) Operations() ([]Operation, error) {
	s, err := v.spec("")
	if err != nil {
		return nil, err
	}
	out := make([]Operation, len(s.operations))
	for i, o := range s.operations {
		out[i] = Operation{o.id, o.method, joinPath(o.path)}
	}
	return out, nil
}

var versioned = regexp.MustCompile(`^/v(\d+\.\d+)(/.*)$`)

// Check holds one answer against the schema. body is all of it.
func (v *Validator) Check(method, path string, status int, header http.Header, body []byte) error {
	return v.check(method, path, answer{status, header, body, true})
}

// answer is an HTTP answer; whole says that body is not cut off.
type answer struct {
	status int
	header http.Header
	body   []byte
	whole  bool
}

func (v *Validator) check(method, path string, a answer) error {
	name := ""
	if m := versioned.FindStringSubmatch(path); m != nil {
		name, path = m[1], m[2]
	}
	fail := func(err error) error { return fmt.Errorf("%s %s: status %d: %w", method, path, a.status, err) }
	if raw := a.header.Get("Content-Type") == types.MediaTypeRawStream; !raw && a.status != http.StatusSwitchingProtocols {
		if err := checkHeaders(a.header); err != nil { // the head of an upgraded connection is terse
			return fail(err)
		}
	}
	s, err := v.spec(name)
	if s == nil || err != nil {
		return err // no schema: API 1.24 and older
	}
	o := s.find(method, path)
	if o == nil { // dockerd serves in every version what a later one brought
		if s, err = v.spec(""); err != nil {
			return err
		}
		o = s.find(method, path)
	}
	if o == nil {
		if a.status == http.StatusNotFound || a.status == http.StatusBadRequest {
			return nil // not an operation, and told so
		}
		return fail(errors.New("answered, but no operation of the schema"))
	}
	if a.status < http.StatusBadRequest {
		v.Record(o.id)
	}
	if a.status < http.StatusMultipleChoices && (name == "" || name == version.MaxAPI) {
		v.note(o, a)
	}
	if err := s.check(o, a); err != nil {
		return fail(fmt.Errorf("%s: %w", o.id, err))
	}
	return nil
}

// checkHeaders: those that every answer has.
func checkHeaders(h http.Header) error {
	for _, name := range []string{"Api-Version", "Docker-Experimental", "Ostype", "Server"} {
		if h.Get(name) == "" {
			return fmt.Errorf("header %s is missing", name)
		}
	}
	return nil
}

func (s *spec) check(o *operation, a answer) error {
	want, documented := o.responses[strconv.Itoa(a.status)]
	switch {
	case a.status >= http.StatusBadRequest && o.method == http.MethodHead:
		return checkEmpty(a.body)
	case a.status >= http.StatusBadRequest:
		// The schema lists few of the errors that dockerd gives; their shape is one.
		return checkJSON(s.errorBody, a)
	case a.status == http.StatusNotModified:
		return checkEmpty(a.body)
	case !documented:
		return errors.New("status is not in the schema")
	}
	for _, name := range want.headers {
		if a.header.Get(name) == "" && name != "Builder-Version" { // that one depends on the daemon
			return fmt.Errorf("header %s is missing", name)
		}
	}
	switch {
	case slices.Contains(valueStreams, o.id):
		return checkStream(want.schema, a)
	case slices.Contains(byteStreams, o.id) && (len(a.body) > 0 || a.header.Get("Content-Type") != ""):
		return checkMedia(a.header, []string{types.MediaTypeRawStream, types.MediaTypeMultiplexedStream})
	case want.schema == nil && (len(a.body) == 0 || slices.Contains(o.produces, "application/json")):
		return checkEmpty(a.body)
	case !slices.Contains(o.produces, "application/json"):
		return checkMedia(a.header, o.produces)
	}
	return checkJSON(want.schema, a)
}

var (
	// The bodies of these are many JSON values.
	valueStreams = []string{"SystemEvents", "ContainerStats", "ImageCreate", "ImageLoad", "ImagePush", "ImageBuild", "PluginPull"}
	// The bodies, or connections, of these are the output of processes.
	byteStreams = []string{"ContainerLogs", "ContainerAttach", "ExecStart"}
)

func checkEmpty(body []byte) error {
	if len(body) > 0 {
		return fmt.Errorf("body of %d bytes, where the schema has none", len(body))
	}
	return nil
}

func checkMedia(h http.Header, want []string) error {
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("content type %q: %w", h.Get("Content-Type"), err)
	}
	if !slices.Contains(want, media) {
		return fmt.Errorf("content type %s, want one of %v", media, want)
	}
	return nil
}

// checkJSON: one value, which at the top is not null.
func checkJSON(schema *openapi3.Schema, a answer) error {
	if err := checkMedia(a.header, []string{"application/json"}); err != nil {
		return err
	}
	var value any
	switch err := json.Unmarshal(a.body, &value); {
	case err != nil && !a.whole:
		return nil // the client did not want the rest
	case err != nil:
		return fmt.Errorf("body: %w", err)
	}
	return checkValue(schema, value)
}

func checkValue(schema *openapi3.Schema, value any) error {
	if value == nil {
		return errors.New("body is null")
	}
	return schema.VisitJSON(value, openapi3.MultiErrors(), openapi3.VisitAsResponse())
}

func checkStream(schema *openapi3.Schema, a answer) error {
	if err := checkMedia(a.header, []string{"application/json", "application/jsonl", "application/x-ndjson", "application/json-seq"}); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(bytes.ReplaceAll(a.body, []byte{0x1e}, nil)))
	for {
		var value map[string]any
		switch err := dec.Decode(&value); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF): // cut off by who reads it
			return nil
		case err != nil:
			return fmt.Errorf("body: %w", err)
		}
		if schema == nil {
			continue
		}
		if err := checkValue(schema, value); err != nil {
			return err
		}
	}
}
