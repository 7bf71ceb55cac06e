package images

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func (h handlers) inspect(w http.ResponseWriter, r *api.Request) error {
	o := catalog.InspectOptions{Manifests: r.Bool("manifests") && r.Version >= api.V1(48)}
	var err error
	if o.Platform, err = platformSince(r, api.V1(49)); err != nil {
		return err
	}
	if o.Manifests && o.Platform != nil {
		return api.Invalid("conflicting options: manifests and platform options cannot both be set")
	}
	i, err := h.backend.Inspect(r.Context(), r.Name, o)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, convertInspect(i, r.Version))
}

func (h handlers) history(w http.ResponseWriter, r *api.Request) error {
	platform, err := platformSince(r, api.V1(48))
	if err != nil {
		return err
	}
	list, err := h.backend.History(r.Context(), r.Name, platform)
	if err != nil {
		return err
	}
	if list == nil {
		list = []image.HistoryResponseItem{}
	}
	return api.WriteJSON(w, http.StatusOK, list)
}

// platformSince reads the platform parameter, which versions before since ignore.
func platformSince(r *api.Request, since api.Version) (*ocispec.Platform, error) {
	if r.Version < since {
		return nil, nil
	}
	return r.Platform("platform")
}
