package containers

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
)

func (h handlers) start(w http.ResponseWriter, r *api.Request) error {
	// Clients up to API 1.23 sent a HostConfig; "null" and "{}" from careless
	// ones pass.
	if r.ContentLength > 7 || r.ContentLength == -1 {
		return api.Invalid("starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24")
	}
	checkpoint := r.Query.Get("checkpoint")
	if checkpoint != "" && !r.Experimental {
		return api.Invalid("checkpoint is only supported in experimental mode")
	}
	err := func() error {
		if checkpoint != "" {
			return h.backend.Checkpoints.Restore(r.Context(), r.Name, r.Query.Get("checkpoint-dir"), checkpoint)
		}
		return h.backend.Start(r.Context(), r.Name)
	}()
	if err != nil {
		return err
	}
	return api.NoContent(w)
}
