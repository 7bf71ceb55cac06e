package system

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
)

func (h handlers) getVersion(w http.ResponseWriter, r *api.Request) error {
	v, err := h.backend.Version(r.Context())
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, v)
}
