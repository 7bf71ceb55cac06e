package volumes

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/volume"
)

func (h handlers) create(w http.ResponseWriter, r *api.Request) error {
	var q volume.CreateRequest
	if err := r.ReadJSON(&q); err != nil {
		return err
	}
	if r.Version < api.V1(42) { // unknown before
		q.ClusterVolumeSpec = nil
	}
	v, err := h.backend.Create(r.Context(), q)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusCreated, v)
}

// update is for cluster volumes alone.
func update(http.ResponseWriter, *api.Request) error {
	return errdefs.ErrUnavailable.WithMessage("volume update only valid for cluster volumes, but swarm is unavailable")
}
