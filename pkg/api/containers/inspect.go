package containers

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
)

func (h handlers) inspect(w http.ResponseWriter, r *api.Request) error {
	c, err := h.backend.Inspect(r.Context(), r.Name, r.Bool("size"))
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, convertInspect(c, r.Version))
}
