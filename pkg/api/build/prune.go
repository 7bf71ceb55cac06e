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
	for _, p := range []struct {
		key string
		to  *int64
	}{
		{"keep-storage", &o.ReservedSpace}, // the next one's name before API 1.48
		{"reserved-space", &o.ReservedSpace}, {"max-used-space", &o.MaxUsedSpace}, {"min-free-space", &o.MinFreeSpace},
	} {
		n, err := r.Int(p.key)
		if err != nil {
			return err
		}
		if n != nil && *n > 0 {
			*p.to = int64(*n)
		}
	}
	report, err := h.Builder.Prune(r.Context(), o)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, report)
}
