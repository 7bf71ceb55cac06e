// Package swarm answers for swarm mode as an engine that is not part of a swarm:
// clients and tools that ask whether there is one get Docker's answer instead of
// an error of a kind that they do not know.
package swarm

import (
	"net/http"
	"strings"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/containerd/errdefs"
)

var (
	errNoManager = errdefs.ErrUnavailable.WithMessage(`This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`)
	errNoSwarm   = errdefs.ErrUnavailable.WithMessage("This node is not part of a swarm")
	// Unlike the others these could work, were there a swarm mode.
	errUnsupported = errdefs.ErrNotImplemented.WithMessage("swarm mode is not supported: Berth runs the containers of one host")
)

// groups are the paths of what only a manager of a swarm answers.
var groups = []string{"/swarm", "/nodes", "/services", "/tasks", "/secrets", "/configs"}

// Routes serves every operation of swarm mode.
func Routes() []api.Route {
	var routes []api.Route
	for _, op := range api.Operations {
		for _, g := range groups {
			if op.Path == g || strings.HasPrefix(op.Path, g+"/") {
				routes = append(routes, api.Route{Operation: op.ID, Handler: refuse(answer(op.ID)), Declined: "there is no swarm mode"})
			}
		}
	}
	return routes
}

func answer(operation string) error {
	switch operation {
	case "SwarmInit", "SwarmJoin":
		return errUnsupported
	case "SwarmLeave":
		return errNoSwarm
	default:
		return errNoManager
	}
}

func refuse(err error) api.Handler {
	return func(http.ResponseWriter, *api.Request) error { return err }
}
