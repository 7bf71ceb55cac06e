// Package plugins answers for managed plugins as an engine that has none: Berth
// runs no code of plugins, and clients look a name up among them, too.
package plugins

import (
	"fmt"
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/containerd/errdefs"
)

// Routes are the operations that have an answer where no plugin is installed.
func Routes() []api.Route {
	return []api.Route{
		{Operation: "PluginList", Handler: list},
		{Operation: "PluginInspect", Handler: inspect},
	}
}

func list(w http.ResponseWriter, _ *api.Request) error {
	return api.WriteJSON(w, http.StatusOK, []struct{}{})
}

func inspect(_ http.ResponseWriter, r *api.Request) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("plugin %q not found", r.Name))
}
