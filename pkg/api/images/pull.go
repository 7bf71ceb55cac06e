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
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func (h handlers) pull(w http.ResponseWriter, r *api.Request) error {
	from := r.Query.Get("fromImage")
	if from == "" {
		return h.importImage(w, r)
	}
	ref, err := pullReference(from, r.Query.Get("tag"))
	if err != nil {
		return err
	}
	o := images.PullOptions{All: reference.IsNameOnly(ref)}
	if o.Platform, err = namedPlatform(r); err != nil {
		return err
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

// namedPlatform reads the platform parameter of /images/create: "linux/arm64".
func namedPlatform(r *api.Request) (*ocispec.Platform, error) {
	p := r.Query.Get("platform")
	if p == "" || r.Version < api.V1(32) {
		return nil, nil
	}
	platform, err := platforms.Parse(p)
	if err != nil {
		return nil, api.Invalid("%v", err)
	}
	return &platform, nil
}
