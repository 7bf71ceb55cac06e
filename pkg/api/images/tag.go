package images

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

func (h handlers) tag(w http.ResponseWriter, r *api.Request) error {
	ref, err := tagReference(r.Query.Get("repo"), r.Query.Get("tag"))
	if err != nil {
		return err
	}
	if err := h.backend.Tag(r.Context(), r.Name, ref); err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

// tagReference is the full name that repo and tag make; the tag defaults to
// the one in repo, then to latest.
func tagReference(repo, tag string) (string, error) {
	ref, err := reference.ParseNormalizedNamed(repo)
	if err != nil {
		return "", api.Invalid("%v", err)
	}
	if _, ok := ref.(reference.Digested); ok {
		return "", api.Invalid("cannot import digest reference")
	}
	if tag != "" {
		if ref, err = reference.WithTag(ref, tag); err != nil {
			return "", api.Invalid("%v", err)
		}
	}
	if reference.FamiliarName(ref) == digest.Canonical.String() {
		return "", api.Invalid("refusing to create an ambiguous tag using digest algorithm as name")
	}
	return reference.TagNameOnly(ref).String(), nil
}
