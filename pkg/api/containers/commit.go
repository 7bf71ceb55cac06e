package containers

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/engine/contents"
	"github.com/moby/moby/api/types/container"
)

func (h handlers) commit(w http.ResponseWriter, r *api.Request) error {
	o := contents.CommitOptions{
		Author: r.Query.Get("author"), Comment: r.Query.Get("comment"), Changes: r.Query["changes"], Pause: r.BoolOr("pause", true),
	}
	if o.Name = r.Query.Get("repo"); o.Name != "" && r.Query.Get("tag") != "" {
		o.Name += ":" + r.Query.Get("tag")
	}
	if err := r.ReadJSON(&o.Config); err != nil {
		return err
	}
	id, err := h.backend.Commit(r.Context(), r.Query.Get("container"), o)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusCreated, container.CommitResponse{ID: id})
}
