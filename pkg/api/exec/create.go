package exec

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/container"
)

func (h handlers) create(w http.ResponseWriter, r *api.Request) error {
	var body container.ExecCreateRequest
	if err := r.ReadJSON(&body); err != nil {
		return err
	}
	if len(body.Cmd) == 0 {
		return api.Invalid("No exec command specified")
	}
	body.ConsoleSize = consoleSize(body.ConsoleSize, body.Tty, r.Version)
	id, err := h.backend.ExecCreate(r.Context(), r.Name, body)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusCreated, container.ExecCreateResponse{ID: id})
}
