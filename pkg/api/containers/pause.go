package containers

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
)

func (h handlers) pause(w http.ResponseWriter, r *api.Request) error {
	if err := h.backend.Pause(r.Context(), r.Name); err != nil {
		return err
	}
	return api.NoContent(w)
}

func (h handlers) unpause(w http.ResponseWriter, r *api.Request) error {
	if err := h.backend.Unpause(r.Context(), r.Name); err != nil {
		return err
	}
	return api.NoContent(w)
}
