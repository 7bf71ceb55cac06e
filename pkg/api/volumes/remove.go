package volumes

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
)

func (h handlers) remove(w http.ResponseWriter, r *api.Request) error {
	if err := h.backend.Remove(r.Context(), r.Name, r.Bool("force")); err != nil {
		return err
	}
	return api.NoContent(w)
}

// prune: before 1.42 volumes with a name went as well, without the filter "all".
func (h handlers) prune(w http.ResponseWriter, r *api.Request) error {
	f, err := r.Filters()
	if err != nil {
		return err
	}
	if r.Version < api.V1(42) {
		if f == nil {
			f = map[string][]string{}
		}
		f["all"] = []string{"true"}
	}
	report, err := h.backend.Prune(r.Context(), f)
	if err != nil {
		return err
	}
	if report.VolumesDeleted == nil {
		report.VolumesDeleted = []string{}
	}
	return api.WriteJSON(w, http.StatusOK, report)
}
