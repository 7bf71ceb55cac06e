package containers

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/engine"
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
	return api.WriteJSON(w, http.StatusOK, ConvertList(list, r.Version))
}

func listOptions(r *api.Request) (o engine.ListOptions, err error) {
	o = engine.ListOptions{All: r.Bool("all"), Size: r.Bool("size")}
	limit, err := r.Int("limit")
	if err != nil {
		return o, err
	}
	if limit != nil {
		o.Limit = *limit
	}
	if o.Filters, err = r.Filters(); err != nil {
		return o, err
	}
	// Docker still takes these as parameters of their own.
	for _, key := range []string{"since", "before"} {
		if v := r.Query.Get(key); v != "" {
			o.Filters = o.Filters.With(key, v)
		}
	}
	return o, nil
}
