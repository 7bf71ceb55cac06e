package networks

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
)

func (h handlers) remove(w http.ResponseWriter, r *api.Request) error {
	if err := h.backend.Remove(r.Context(), r.Name); err != nil {
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
