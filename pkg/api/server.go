// Package api serves the Docker Engine API over HTTP. It speaks HTTP and
// nothing else: routing, version negotiation, decoding and encoding, errors as
// statuses, connections handed over to streams, and the shapes that older API
// versions expect. What the operations do is behind the interfaces that the
// packages below it declare (containers, exec, images, networks, system).
//
// Every operation of swagger.yaml has an answer: those without a route get
// 501 with their name. A panic in a handler is a 500 and a log line, never
// the end of the daemon.
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is what a Server is made of.
type Config struct {
	Logger       *slog.Logger
	Version      string // of Berth, for the Server header
	MinAPI       string // oldest API version that is answered, "1.24"
	MaxAPI       string // newest, also used when a request names none
	Experimental bool   // serves what Docker serves with its experimental features only
	Routes       []Route
	// Observe, when given, is told of each answer that is no stream.
	Observe func(operation string, status int, took time.Duration)
	// Debug, when given, answers what is below /debug/, but not on read-only sockets.
	Debug http.Handler
	// Patience is how long a client may take to send the head of a request, or a body
	// that is no stream, and to read an answer that is none; 0 is a minute. A
	// connection without a request is kept for five times that.
	Patience time.Duration
}

// Server answers the API. It is an http.Handler, and serves listeners itself
// (Serve), because taking connections over needs a hand in their life.
type Server struct {
	log          *slog.Logger
	observe      func(operation string, status int, took time.Duration)
	debug        http.Handler
	min, max     Version
	headers      map[string]string
	experimental bool
	mux          *mux
	served       map[string]bool   // by operation
	declined     map[string]string // by operation: why

	http     *http.Server
	conns    *conns
	streams  context.Context // ends when shutdown begins
	end      context.CancelFunc
	patience time.Duration
}

// New makes a server. A route for an operation that swagger.yaml does not
// have, or a second one for the same, is an error.
func New(c Config) (*Server, error) {
	s := &Server{log: c.Logger, observe: c.Observe, debug: c.Debug, mux: newMux(), served: map[string]bool{}, declined: map[string]string{}, conns: newConns(),
		patience: cmp.Or(c.Patience, time.Minute)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.min, err = ParseVersion(c.MinAPI); err != nil {
		return nil, err
	}
	if s.max, err = ParseVersion(c.MaxAPI); err != nil {
		return nil, err
	}
	s.experimental = c.Experimental
	s.headers = map[string]string{
		"Server":              fmt.Sprintf("Berth/%s (%s)", c.Version, runtime.GOOS),
		"Api-Version":         c.MaxAPI,
		"Docker-Experimental": strconv.FormatBool(c.Experimental),
		"Ostype":              runtime.GOOS,
	}
	if err := s.addRoutes(c.Routes); err != nil {
		return nil, err
	}
	s.streams, s.end = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.patience,
		IdleTimeout:       5 * s.patience,
		ConnContext:       markReadOnly,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

func (s *Server) addRoutes(routes []Route) error {
	byOperation := make(map[string]Route, len(routes))
	for _, r := range routes {
		if _, twice := byOperation[r.Operation]; twice {
			return fmt.Errorf("operation %s has two routes", r.Operation)
		}
		byOperation[r.Operation] = r
	}
	for _, op := range slices.Concat(Operations, Unlisted, Own) {
		r, served := byOperation[op.ID]
		if !served {
			r = Route{Operation: op.ID, Handler: notImplemented(op)}
		}
		if err := s.mux.add(&endpoint{Operation: op, Route: r, served: served}); err != nil {
			return err
		}
		s.served[op.ID] = served && r.Declined == ""
		if r.Declined != "" {
			s.declined[op.ID] = r.Declined
		}
		delete(byOperation, op.ID)
	}
	for id := range byOperation {
		return fmt.Errorf("operation %s is not one of Docker's", id)
	}
	return nil
}

// Serves says whether an operation has a route that can succeed.
func (s *Server) Serves(operation string) bool { return s.served[operation] }

// Declines says why an operation can never succeed; "" for all others.
func (s *Server) Declines(operation string) string { return s.declined[operation] }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(hw http.ResponseWriter, hr *http.Request) {
	w := &response{ResponseWriter: hw, status: http.StatusOK, patience: s.patience}
	// The last request of the connection left one.
	_ = http.NewResponseController(hw).SetWriteDeadline(time.Time{})
	began := time.Now()
	for k, v := range s.headers {
		w.Header().Set(k, v)
	}
	defer s.recover(w, hr)
	if err := s.serve(w, hr); err != nil {
		s.fail(w, hr, err)
	}
	if e := w.endpoint; e != nil && !e.Streams && s.observe != nil {
		s.observe(e.Operation.ID, w.status, time.Since(began))
	}
	if !w.hijacked {
		w.finish(hr)
	}
}

func (s *Server) serve(w *response, hr *http.Request) error {
	number, path, given := splitVersion(hr.URL.Path)
	version, err := s.negotiate(number, given)
	if err != nil {
		return err
	}
	if hr.Method == http.MethodOptions {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	e, name, part := s.mux.find(hr.Method, path)
	if e == nil {
		return s.page(w, hr, path)
	}
	w.endpoint, w.bounded = e, !e.Streams
	if err := allowed(hr, e.Operation); err != nil {
		return err
	}
	if e.Experimental && !s.experimental {
		return errExperimental
	}
	query, err := url.ParseQuery(hr.URL.RawQuery)
	if err != nil {
		return Invalid("%v", err)
	}
	if e.Streams {
		ctx, cancel := context.WithCancel(hr.Context())
		defer cancel()
		defer context.AfterFunc(s.streams, cancel)()
		hr = hr.WithContext(ctx)
		// Progress is sent while the body is still read: without this net/http
		// would throw a part of the body away. HTTP/1 servers only know it.
		w.duplex = http.NewResponseController(w).EnableFullDuplex() == nil
	}
	r := &Request{Request: hr, Version: understood(hr.UserAgent(), version), Name: name, Part: part, Experimental: s.experimental, Query: query, conns: s.conns, streams: s.streams, patience: s.patience}
	if !e.Streams {
		r.LimitBody(w)
	}
	return e.Handler(w, r)
}

// page answers a path that is no operation's.
func (s *Server) page(w http.ResponseWriter, r *http.Request, path string) error {
	if s.debug == nil || readOnly(r) || !strings.HasPrefix(path, "/debug/") {
		return errPageNotFound
	}
	s.debug.ServeHTTP(w, r)
	return nil
}

// fail tells the client and the log of an error. Once an answer has begun its
// status is out: all that can be told then is that it is incomplete, by
// breaking the connection off.
func (s *Server) fail(w *response, r *http.Request, err error) {
	status := Status(err)
	level := slog.LevelDebug
	// The request's context does not end with a connection that was taken over.
	gone := r.Context().Err() != nil || w.hijacked && errors.Is(err, context.Canceled)
	if status >= http.StatusInternalServerError && status != http.StatusNotImplemented && !gone {
		level = slog.LevelError
	}
	s.log.Log(r.Context(), level, "request failed", "method", r.Method, "path", r.URL.Path, "status", status, "error", err)
	switch {
	case w.hijacked:
	case w.started:
		panic(http.ErrAbortHandler)
	default:
		if err := writeError(w, status, err.Error()); err != nil {
			s.log.Debug("cannot answer", "path", r.URL.Path, "error", err)
		}
	}
}

// recover turns a panic of a handler into a 500 and a log line.
func (s *Server) recover(w *response, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler) // net/http's own way to break a connection off
	}
	s.log.Error("panic in a request", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
	switch {
	case w.hijacked:
	case w.started:
		panic(http.ErrAbortHandler)
	default:
		_ = writeError(w, http.StatusInternalServerError, fmt.Sprintf("internal error: %v (the daemon's log has details)", p))
	}
}
