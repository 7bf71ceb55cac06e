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
	// The path, split at its first variable: "/images/" and "/json". A path
	// without a variable is all prefix.
	prefix, suffix string
	// What stands between that variable and a second one, which ends the path:
	// "/checkpoints/". "" when there is no second one.
	middle string
}

// mux finds the endpoint of a request. Docker's names hold slashes
// (/images/registry/name/json), so a variable takes as much of the path as
// the literal parts leave; a second one is the last part of the path.
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
	_, suffix, ok := strings.Cut(rest, "}")
	middle, second, two := strings.Cut(suffix, "{")
	if !ok || two && (strings.Trim(middle, "/") == "" || strings.Index(second, "}") != len(second)-1) {
		return fmt.Errorf("operation %s: path %s must have one variable, or a second one at its end", e.ID, e.Path)
	}
	e.prefix, e.suffix = prefix, suffix
	if two {
		e.middle, e.suffix = middle, ""
	}
	list := m.variable[e.Method]
	at := len(list)
	for i, other := range list {
		if e.literals() > other.literals() {
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

// literals is how much of the path is no variable.
func (e *endpoint) literals() int { return len(e.prefix) + len(e.middle) + len(e.suffix) }

// values are what a path has for the variables; ok says that it is one of this
// endpoint's.
func (e *endpoint) values(path string) (first, second string, ok bool) {
	first, ok = strings.CutPrefix(path, e.prefix)
	if !ok {
		return "", "", false
	}
	if e.middle != "" {
		at := strings.LastIndex(first, e.middle)
		if at < 0 {
			return "", "", false
		}
		first, second = first[:at], first[at+len(e.middle):]
		return first, second, first != "" && second != "" && !strings.Contains(second, "/")
	}
	first, ok = strings.CutSuffix(first, e.suffix)
	return first, "", ok && first != ""
}

// find gives the endpoint for a path without its version, and the values of
// the path's variables; nil is none.
func (m *mux) find(method, path string) (e *endpoint, first, second string) {
	if e := m.literal[method+" "+path]; e != nil {
		return e, "", ""
	}
	// Docker lists networks at /networks/ as well (API 1.25).
	if method == http.MethodGet && path == "/networks/" {
		return m.literal["GET /networks"], "", ""
	}
	for _, e := range m.variable[method] {
		if first, second, ok := e.values(path); ok {
			return e, first, second
		}
	}
	return nil, "", ""
}
