package images

import (
	"net/http"
	"strings"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/image"
)

func (h handlers) remove(w http.ResponseWriter, r *api.Request) error {
	if strings.TrimSpace(r.Name) == "" {
		return api.Invalid("image name cannot be blank")
	}
	removed, err := h.removeWhat(r)
	if err != nil {
		return err
	}
	if removed == nil {
		removed = []image.DeleteResponse{}
	}
	return api.WriteJSON(w, http.StatusOK, removed)
}

// removeWhat removes an image, or since API 1.50 single platforms of it.
func (h handlers) removeWhat(r *api.Request) ([]image.DeleteResponse, error) {
	if r.Version < api.V1(50) || !r.Query.Has("platforms") {
		return h.backend.Remove(r.Context(), r.Name, r.Bool("force"), r.Bool("noprune"))
	}
	platforms, err := r.Platforms("platforms")
	if err != nil {
		return nil, err
	}
	return h.backend.RemovePlatforms(r.Context(), r.Name, platforms, r.Bool("force"))
}
