package containers

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/container"
)

func (h handlers) update(w http.ResponseWriter, r *api.Request) error {
	var c container.UpdateConfig
	if !r.HasBody() {
		return api.Invalid("invalid JSON: got EOF while reading request body")
	}
	if err := r.ReadJSON(&c); err != nil {
		return err
	}
	if r.Version < api.V1(40) { // ignored before
		c.PidsLimit = nil
	}
	// 0 and less are how clients say that there is to be no limit.
	if c.PidsLimit != nil && *c.PidsLimit < 0 {
		*c.PidsLimit = 0
	}
	resp, err := h.backend.Update(r.Context(), r.Name, &c)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, resp)
}
