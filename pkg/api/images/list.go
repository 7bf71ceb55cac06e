package images

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/images/catalog"
)

func (h handlers) list(w http.ResponseWriter, r *api.Request) error {
	o, err := listOptions(r)
	if err != nil {
		return err
	}
	list, err := h.backend.List(r.Context(), o)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, convertList(list, r.Version))
}

func listOptions(r *api.Request) (o catalog.ListOptions, err error) {
	o.All = r.Bool("all")
	o.SharedSize = r.Bool("shared-size") && r.Version >= api.V1(42)
	o.Manifests = r.Bool("manifests") && r.Version >= api.V1(47)
	if r.Bool("identity") && r.Version >= api.V1(54) && !o.Manifests {
		return o, api.Invalid("conflicting options: identity requires manifests=1")
	}
	if o.Filters, err = r.Filters(); err != nil {
		return o, err
	}
	// Up to API 1.40 a name had a parameter of its own.
	if name := r.Query.Get("filter"); name != "" && r.Version < api.V1(41) && !o.Filters.Has("reference") {
		o.Filters = o.Filters.With("reference", name)
	}
	return o, nil
}
