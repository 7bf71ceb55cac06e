package images

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/images"
)

// importImage is the other half of /images/create, without fromImage.
func (h handlers) importImage(w http.ResponseWriter, r *api.Request) error {
	o := images.ImportOptions{Source: r.Query.Get("fromSrc"), Message: r.Query.Get("message"), Changes: r.Query["changes"]}
	if o.Source == "" {
		return api.Invalid("neither fromImage nor fromSrc says what to create the image from")
	}
	var err error
	if repo := r.Query.Get("repo"); repo != "" {
		if o.Name, err = tagReference(repo, r.Query.Get("tag")); err != nil {
			return err
		}
	}
	if o.Platform, err = namedPlatform(r); err != nil {
		return err
	}
	out := api.NewProgress(w)
	return out.End(h.backend.Import(r.Context(), r.Body, o, out.Send))
}
