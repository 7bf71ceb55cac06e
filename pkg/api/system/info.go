package system

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
)

func (h handlers) getInfo(w http.ResponseWriter, r *api.Request) error {
	info, err := h.backend.Info(r.Context())
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, convertInfo(info, r.Version))
}
