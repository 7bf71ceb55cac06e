package images

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/images/catalog"
)

func (h handlers) attestations(w http.ResponseWriter, r *api.Request) error {
	platforms, err := r.Platforms("platform")
	if err != nil {
		return err
	}
	o := catalog.AttestationOptions{Types: r.Query["type"], Bodies: r.Bool("statement")}
	switch len(platforms) {
	case 0:
	case 1:
		o.Platform = &platforms[0]
	default:
		return api.Invalid("only one platform can be asked for")
	}
	list, err := h.backend.Attestations(r.Context(), r.Name, o)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, list)
}
