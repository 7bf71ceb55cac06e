package exec

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
)

func (h handlers) inspect(w http.ResponseWriter, r *api.Request) error {
	e, err := h.backend.ExecInspect(r.Context(), r.Name)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, e)
}

func (h handlers) resize(w http.ResponseWriter, r *api.Request) error {
	height, width, err := r.Size()
	if err != nil {
		return err
	}
	if err := h.backend.ExecResize(r.Context(), r.Name, height, width); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
