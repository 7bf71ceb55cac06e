package containers

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/engine"
)

func (h streamHandlers) attach(w http.ResponseWriter, r *api.Request) error {
	ctx, open, release := r.Hijack(w)
	defer release()
	return h.backend.Attach(ctx, r.Name, attachOptions(r), open)
}

func (h streamHandlers) attachWebSocket(w http.ResponseWriter, r *api.Request) error {
	ctx, open, release, err := r.WebSocket(w)
	if err != nil {
		return err
	}
	defer release()
	return h.backend.Attach(ctx, r.Name, attachOptions(r), open)
}

func attachOptions(r *api.Request) engine.AttachOptions {
	return engine.AttachOptions{
		Stdin:      r.Bool("stdin"),
		Stdout:     r.Bool("stdout"),
		Stderr:     r.Bool("stderr"),
		Stream:     r.Bool("stream"),
		Logs:       r.Bool("logs"),
		DetachKeys: r.Query.Get("detachKeys"),
	}
}

func (h streamHandlers) resize(w http.ResponseWriter, r *api.Request) error {
	height, width, err := r.Size()
	if err != nil {
		return err
	}
	if err := h.backend.Resize(r.Context(), r.Name, height, width); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
