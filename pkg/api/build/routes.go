package build

import (
	"context"
	"net"
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
)

type handlers struct{ Backend }

// Routes serves a backend.
func Routes(b Backend) []api.Route {
	h := handlers{b}
	return []api.Route{
		{Operation: "GRPC", Handler: upgraded(func(ctx context.Context, conn net.Conn, _ http.Header) error { return h.Builder.Serve(ctx, conn) }), Streams: true},
		{Operation: "Session", Handler: upgraded(func(ctx context.Context, conn net.Conn, header http.Header) error {
			return h.Builder.Session(ctx, conn, header)
		}), Streams: true},
		{Operation: "ImageBuild", Handler: h.build, Streams: true},
		{Operation: "BuildCancel", Handler: h.cancel},
		{Operation: "BuildPrune", Handler: h.prune},
	}
}

// upgraded hands the connection over, on which HTTP/2 goes on.
func upgraded(serve func(context.Context, net.Conn, http.Header) error) api.Handler {
	return func(w http.ResponseWriter, r *api.Request) error {
		ctx, open, release, err := r.Upgrade(w, "h2c")
		if err != nil {
			return err
		}
		defer release()
		conn, err := open()
		if err != nil {
			return err
		}
		return serve(ctx, conn, r.Header)
	}
}
