package images

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/images"
	"github.com/distribution/reference"
)

func (h handlers) push(w http.ResponseWriter, r *api.Request) error {
	ref, err := pushReference(r.Name, r.Query.Get("tag"))
	if err != nil {
		return err
	}
	o := images.PushOptions{Auth: r.Credentials()}
	if o.Platform, err = platformSince(r, api.V1(46)); err != nil {
		return err
	}
	out := api.NewProgress(w)
	return out.End(h.backend.Push(r.Context(), ref.String(), o, out.Send))
}

// pushReference is what name and tag name; without a tag, all tags.
func pushReference(name, tag string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err == nil && tag != "" {
		ref, err = reference.WithTag(ref, tag)
	}
	if err != nil {
		return nil, api.Invalid("%v", err)
	}
	return ref, nil
}
