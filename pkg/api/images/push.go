package images

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/images"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
)

func (h handlers) push(w http.ResponseWriter, r *api.Request) error {
	ref, err := pushReference(r.Name, r.Query.Get("tag"))
	if err != nil {
		return err
	}
	o := images.PushOptions{Auth: credentials(r)}
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

// credentials are those that the client sent. Docker goes on without when it
// cannot read them.
func credentials(r *api.Request) *registry.AuthConfig {
	auth, err := authconfig.Decode(r.Header.Get(registry.AuthHeader))
	if err != nil || *auth == (registry.AuthConfig{}) {
		return nil
	}
	return auth
}
