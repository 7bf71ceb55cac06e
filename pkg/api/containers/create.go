package containers

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/engine"
)

func (h handlers) create(w http.ResponseWriter, r *api.Request) error {
	var body createBody
	if !r.HasBody() {
		return api.Invalid("invalid JSON: got EOF while reading request body")
	}
	if err := r.ReadJSON(&body); err != nil {
		return err
	}
	warnings, err := body.convert(r.Version)
	if err != nil {
		return err
	}
	platform, err := createPlatform(r)
	if err != nil {
		return err
	}
	resp, err := h.backend.Create(r.Context(), engine.CreateRequest{
		Name:             r.Query.Get("name"),
		Platform:         platform,
		Config:           body.Config,
		HostConfig:       body.HostConfig,
		NetworkingConfig: body.NetworkingConfig,
		// Only the mount itself was made read-only then, what was mounted below it not.
		ReadOnlyNonRecursive: r.Version < api.V1(44),
	})
	if err != nil {
		return err
	}
	resp.Warnings = append(append([]string{}, resp.Warnings...), warnings...)
	return api.WriteJSON(w, http.StatusCreated, resp)
}
