package images

import (
	"net/http"
	"strings"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/image"
)

func (h handlers) remove(w http.ResponseWriter, r *api.Request) error {
	if strings.TrimSpace(r.Name) == "" {
		return api.Invalid("image name cannot be blank")
	}
	// API 1.50 removes single platforms of an image. To ignore the wish would
	// remove what the client means to keep.
	if r.Version >= api.V1(50) && r.Query.Has("platforms") {
		if _, err := r.Platforms("platforms"); err != nil {
			return err
		}
		return errdefs.ErrNotImplemented.WithMessage("ImageDelete of single platforms is not implemented yet")
	}
	removed, err := h.backend.Remove(r.Context(), r.Name, r.Bool("force"), r.Bool("noprune"))
	if err != nil {
		return err
	}
	if removed == nil {
		removed = []image.DeleteResponse{}
	}
	return api.WriteJSON(w, http.StatusOK, removed)
}
