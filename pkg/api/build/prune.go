package build

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/build"
)

func (h handlers) prune(w http.ResponseWriter, r *api.Request) error {
	f, err := r.Filters()
	if err != nil {
		return err
	}
	o := build.PruneOptions{All: r.Bool("all"), Filters: f}
	for key, to := range map[string]*int64{
		"reserved-space": &o.ReservedSpace, "max-used-space": &o.MaxUsedSpace, "min-free-space": &o.MinFreeSpace,
		"keep-storage": &o.ReservedSpace, // its name before API 1.48
	} {
		n, err := r.Int(key)
		if err != nil {
			return err
		}
		if n != nil && *n > 0 {
			*to = int64(*n)
		}
	}
	report, err := h.Builder.Prune(r.Context(), o)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, report)
}
