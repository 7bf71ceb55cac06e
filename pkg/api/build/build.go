package build

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
)

func (h handlers) build(w http.ResponseWriter, r *api.Request) error {
	req, err := request(r)
	if err != nil {
		return err
	}
	out := api.NewProgress(w)
	return out.End(h.Classic.Build(r.Context(), req, r.Body, out.Send))
}

func (h handlers) cancel(w http.ResponseWriter, r *api.Request) error {
	if err := h.Classic.Cancel(r.Query.Get("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
