package api

import (
	"fmt"
	"net/http"
	"strings"
)

// Handler answers one operation. An error that it returns before it wrote
// anything becomes the answer's status and message.
type Handler func(w http.ResponseWriter, r *Request) error

// Route ties an operation of the Docker Engine API to its handler.
type Route struct {
	Operation string // operationId in swagger.yaml; its method and path come from there
	Handler   Handler
	// Streams marks an operation whose body, either way, has no bound: its
	// request body is not cut off, and its context ends as soon as the server
	// begins to shut down.
	Streams bool
	// Declined says why the operation can never succeed here; its handler gives
	// the error that clients know for that.
	Declined string
}

// endpoint is a route as the mux knows it.
type endpoint struct {
	Operation
	Route
	served bool
	// The path, split at its one variable: "/images/" and "/json". A path
	// without a variable is all prefix.
	prefix, suffix string
	variable       string
}

// mux finds the endpoint of a request. Docker's names hold slashes
// (/images/registry/name/json), so a variable takes as much of the path as
// the literal parts leave.
type mux struct {
	literal  map[string]*endpoint   // method + " " + path
	variable map[string][]*endpoint // by method, longest literal part first
}

func newMux() *mux {
	return &mux{literal: map[string]*endpoint{}, variable: map[string][]*endpoint{}}
}

func (m *mux) add(e *endpoint) error {
	prefix, rest, hasVariable := strings.Cut(e.Path, "{")
	if !hasVariable {
		m.literal[e.Method+" "+e.Path] = e
		return nil
	}
	name, suffix, ok := strings.Cut(rest, "}")
	if !ok || strings.Contains(suffix, "{") {
		return fmt.Errorf("operation %s: path %s must have at most one variable", e.ID, e.Path)
	}
	e.prefix, e.variable, e.suffix = prefix, name, suffix
	list := m.variable[e.Method]
	at := len(list)
	for i, other := range list {
		if len(prefix)+len(suffix) > len(other.prefix)+len(other.suffix) {
			at = i
			break
		}
	}
	list = append(list, nil)
	copy(list[at+1:], list[at:])
	list[at] = e
	m.variable[e.Method] = list
	return nil
}

// find gives the endpoint for a path without its version, and the value of
// the path's variable; nil is none.
func (m *mux) find(method, path string) (*endpoint, string) {
	if e := m.literal[method+" "+path]; e != nil {
		return e, ""
	}
	// Docker lists networks at /networks/ as well (API 1.25).
	if method == http.MethodGet && path == "/networks/" {
		return m.literal["GET /networks"], ""
	}
	for _, e := range m.variable[method] {
		value, ok := strings.CutPrefix(path, e.prefix)
		if !ok {
			continue
		}
		if value, ok = strings.CutSuffix(value, e.suffix); ok && value != "" {
			return e, value
		}
	}
	return nil, ""
}
