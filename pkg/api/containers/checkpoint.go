package containers

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/checkpoint"
)

// checkpointHandlers serve what Docker has among its experimental features.
type checkpointHandlers struct{ backend Checkpointer }

func (h checkpointHandlers) create(w http.ResponseWriter, r *api.Request) error {
	var c checkpoint.CreateRequest
	if !r.HasBody() {
		return api.Invalid("invalid JSON: got EOF while reading request body")
	}
	if err := r.ReadJSON(&c); err != nil {
		return err
	}
	if err := h.backend.Create(r.Context(), r.Name, c); err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (h checkpointHandlers) list(w http.ResponseWriter, r *api.Request) error {
	all, err := h.backend.List(r.Context(), r.Name, r.Query.Get("dir"))
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, all)
}

func (h checkpointHandlers) remove(w http.ResponseWriter, r *api.Request) error {
	if err := h.backend.Remove(r.Context(), r.Name, r.Query.Get("dir"), r.Part); err != nil {
		return err
	}
	return api.NoContent(w)
}
