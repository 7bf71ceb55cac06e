// Package plugins answers for managed plugins as an engine that has none: Berth
// runs no code of plugins, and clients look a name up among them, too.
package plugins

import (
	"fmt"
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/containerd/errdefs"
)

const none = "there are no managed plugins"

// Routes serves every operation of managed plugins.
func Routes() []api.Route {
	routes := []api.Route{{Operation: "PluginList", Handler: list}}
	for _, op := range []string{"PluginInspect", "PluginDelete", "PluginEnable", "PluginDisable", "PluginSet", "PluginPush", "PluginUpgrade"} {
		routes = append(routes, api.Route{Operation: op, Handler: notFound, Declined: none})
	}
	for _, op := range []string{"PluginPull", "PluginCreate", "GetPluginPrivileges"} {
		routes = append(routes, api.Route{Operation: op, Handler: unsupported, Declined: none})
	}
	return routes
}

func list(w http.ResponseWriter, _ *api.Request) error {
	return api.WriteJSON(w, http.StatusOK, []struct{}{})
}

func notFound(_ http.ResponseWriter, r *api.Request) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("plugin %q not found", r.Name))
}

func unsupported(http.ResponseWriter, *api.Request) error {
	return errdefs.ErrNotImplemented.WithMessage("managed plugins are not supported: Berth runs no code of plugins")
}
