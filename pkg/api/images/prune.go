package images

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
)

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
