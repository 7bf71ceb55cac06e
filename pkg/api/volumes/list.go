package volumes

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/volume"
)

func (h handlers) list(w http.ResponseWriter, r *api.Request) error {
	f, err := r.Filters()
	if err != nil {
		return err
	}
	all, err := h.backend.List(f)
	if err != nil {
		return err
	}
	if all == nil {
		all = []volume.Volume{}
	}
	return api.WriteJSON(w, http.StatusOK, volume.ListResponse{Volumes: all})
}

func (h handlers) inspect(w http.ResponseWriter, r *api.Request) error {
	v, err := h.backend.Inspect(r.Name)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, v)
}
