package images

import (
	"net/http"
	"strings"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

func (h handlers) pull(w http.ResponseWriter, r *api.Request) error {
	from := r.Query.Get("fromImage")
	if from == "" {
		return errdefs.ErrNotImplemented.WithMessage("ImageCreate from an archive (fromSrc) is not implemented yet")
	}
	ref, err := pullReference(from, r.Query.Get("tag"))
	if err != nil {
		return err
	}
	o := images.PullOptions{All: reference.IsNameOnly(ref)}
	if p := r.Query.Get("platform"); p != "" && r.Version >= api.V1(32) {
		platform, err := platforms.Parse(p)
		if err != nil {
			return api.Invalid("%v", err)
		}
		o.Platform = &platform
	}
	o.Auth = r.Credentials()
	out := api.NewProgress(w)
	return out.End(h.backend.Pull(r.Context(), ref.String(), o, out.Send))
}

// pullReference is what fromImage and tag name. The tag may be a digest, and
// fromImage may end with the colon of a tag that is not there (old clients'
// "pull -a").
func pullReference(from, tag string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(strings.TrimSuffix(from, ":"))
	if err != nil {
		return nil, api.Invalid("%v", err)
	}
	if tag != "" {
		if d, notDigest := digest.Parse(tag); notDigest == nil {
			ref, err = reference.WithDigest(reference.TrimNamed(ref), d)
		} else {
			ref, err = reference.WithTag(ref, tag)
		}
		if err != nil {
			return nil, api.Invalid("%v", err)
		}
	}
	if name := reference.FamiliarName(ref); name == "scratch" {
		return nil, errdefs.ErrPermissionDenied.WithMessage("'scratch' is a reserved name")
	}
	return ref, nil
}
