package networks

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/network"
)

func (h handlers) list(w http.ResponseWriter, r *api.Request) error {
	f, err := r.Filters()
	if err != nil {
		return err
	}
	list, err := h.backend.List(f)
	if err != nil {
		return err
	}
	if r.Version < api.V1(28) {
		return h.listFull(w, list)
	}
	if list == nil {
		list = []network.Summary{}
	}
	for i := range list {
		fillNetwork(&list[i].Network)
	}
	return api.WriteJSON(w, http.StatusOK, list)
}

// listFull is the list up to API 1.27, with the containers of each network.
func (h handlers) listFull(w http.ResponseWriter, list []network.Summary) error {
	full := []network.Inspect{}
	for _, n := range list {
		in, err := h.backend.Inspect(n.ID, false, "")
		if err != nil {
			continue // it went away meanwhile
		}
		full = append(full, convertInspect(in, api.V1(27)))
	}
	return api.WriteJSON(w, http.StatusOK, full)
}
