package containers

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/engine"
	"github.com/moby/moby/api/types/container"
)

func (h handlers) top(w http.ResponseWriter, r *api.Request) error {
	list, err := h.backend.Top(r.Context(), r.Name, r.Query.Get("ps_args"))
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, list)
}

func (h handlers) stats(w http.ResponseWriter, r *api.Request) error {
	o := engine.StatsOptions{Stream: r.BoolOr("stream", true)}
	if r.Version >= api.V1(41) { // ignored before
		o.OneShot = r.Bool("one-shot")
	}
	if !o.Stream {
		return h.backend.Stats(r.Context(), r.Name, o, func(s container.StatsResponse) error {
			return api.WriteJSON(w, http.StatusOK, s)
		})
	}
	lines := api.NewLines(w, r)
	return h.backend.Stats(r.Context(), r.Name, o, func(s container.StatsResponse) error { return lines.Send(s) })
}
