package containers

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/engine"
)

func (h handlers) remove(w http.ResponseWriter, r *api.Request) error {
	o := engine.RemoveOptions{Force: r.Bool("force"), Volumes: r.Bool("v"), Link: r.Bool("link")}
	if err := h.backend.Remove(r.Context(), r.Name, o); err != nil {
		return err
	}
	return api.NoContent(w)
}

func (h handlers) prune(w http.ResponseWriter, r *api.Request) error {
	f, err := r.Filters()
	if err != nil {
		return err
	}
	report, err := h.backend.Prune(r.Context(), f)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, report)
}

func (h handlers) rename(w http.ResponseWriter, r *api.Request) error {
	if err := h.backend.Rename(r.Context(), r.Name, r.Query.Get("name")); err != nil {
		return err
	}
	return api.NoContent(w)
}
