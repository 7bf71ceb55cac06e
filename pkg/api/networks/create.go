package networks

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/network"
)

func (h handlers) create(w http.ResponseWriter, r *api.Request) error {
	var q network.CreateRequest
	if err := r.ReadJSON(&q); err != nil {
		return err
	}
	if r.Version < api.V1(48) {
		q.EnableIPv4 = nil // came with that version
	}
	made, err := h.backend.Create(r.Context(), q)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusCreated, made)
}
