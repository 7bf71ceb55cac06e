package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Whoever reaches the port may keep no more of berthd than this. A scraper has one
// connection; those above the bound wait for the end of another.
const (
	metricsConns   = 64
	metricsHeaders = 16 << 10 // bytes of a request's
	metricsRequest = 5 * time.Second
	metricsAnswer  = time.Minute
)

// serveMetrics answers /metrics at addr until end is called.
func serveMetrics(addr string, h http.Handler, log *slog.Logger) (end func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	log.Info("metrics are served", "address", l.Addr().String())
	return answerMetrics(l, h, log), nil
}

func answerMetrics(l net.Listener, h http.Handler, log *slog.Logger) (end func()) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	s := &http.Server{
		Handler: mux, MaxHeaderBytes: metricsHeaders, ReadTimeout: metricsRequest, WriteTimeout: metricsAnswer, IdleTimeout: metricsAnswer,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(netutil.LimitListener(l, metricsConns)); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are not served any more", "error", err)
		}
	}()
	return func() {
		_ = s.Shutdown(context.Background()) // bounded by WriteTimeout
		<-done
	}
}
