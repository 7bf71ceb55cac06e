package build

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
)

type handlers struct{ backend Backend }

// Routes serves a backend.
func Routes(b Backend) []api.Route {
	h := handlers{b}
	return []api.Route{
		{Operation: "GRPC", Handler: h.serve, Streams: true},
		{Operation: "Session", Handler: h.session, Streams: true},
	}
}

func (h handlers) serve(w http.ResponseWriter, r *api.Request) error {
	ctx, open, release, err := r.Upgrade(w, "h2c")
	if err != nil {
		return err
	}
	defer release()
	conn, err := open()
	if err != nil {
		return err
	}
	return h.backend.Serve(ctx, conn)
}

func (h handlers) session(w http.ResponseWriter, r *api.Request) error {
	ctx, open, release, err := r.Upgrade(w, "h2c")
	if err != nil {
		return err
	}
	defer release()
	conn, err := open()
	if err != nil {
		return err
	}
	return h.backend.Session(ctx, conn, r.Header)
}
