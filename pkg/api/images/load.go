package images

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func (h handlers) load(w http.ResponseWriter, r *api.Request) error {
	platforms, err := movedPlatforms(r)
	if err != nil {
		return err
	}
	out := api.NewProgress(w)
	return out.End(h.backend.Load(r.Context(), r.Body, r.BoolOr("quiet", true), platforms, out.Send))
}

// movedPlatforms are those to load or save: one platform since API 1.48, any number since 1.52.
func movedPlatforms(r *api.Request) ([]ocispec.Platform, error) {
	if r.Version < api.V1(48) {
		return nil, nil
	}
	if r.Version < api.V1(52) && len(r.Query["platform"]) > 1 {
		return nil, api.Invalid("multiple platform parameters are not supported in this API version; use API version 1.52 or later")
	}
	return r.Platforms("platform")
}
