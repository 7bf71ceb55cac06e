package registry

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/registry"
)

type handlers struct{ backend Backend }

// Routes serves a backend.
func Routes(b Backend) []api.Route {
	h := handlers{b}
	return []api.Route{
		{Operation: "SystemAuth", Handler: h.login},
		{Operation: "ImageSearch", Handler: h.search},
		{Operation: "DistributionInspect", Handler: h.distribution},
	}
}

func (h handlers) login(w http.ResponseWriter, r *api.Request) error {
	var auth registry.AuthConfig
	if err := r.ReadJSON(&auth); err != nil {
		return err
	}
	answer, err := h.backend.Login(r.Context(), auth)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, answer)
}

func (h handlers) search(w http.ResponseWriter, r *api.Request) error {
	limit, err := r.Int("limit")
	if err != nil {
		return err
	}
	if limit == nil {
		limit = new(int)
	}
	f, err := r.Filters()
	if err != nil {
		return err
	}
	found, err := h.backend.Search(r.Context(), r.Query.Get("term"), *limit, r.Credentials(), f)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, found)
}

func (h handlers) distribution(w http.ResponseWriter, r *api.Request) error {
	d, err := h.backend.Distribution(r.Context(), r.Name, r.Credentials())
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, d)
}
