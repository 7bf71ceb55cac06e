package swarm

import (
	"testing"

	"github.com/berth-engine/berth/pkg/api"
)

// The statuses are those of an engine outside of a swarm (Docker 29).
func TestRoutes(t *testing.T) {
	routes := Routes()
	if len(routes) < 30 {
		t.Errorf("only %d operations of swarm mode", len(routes))
	}
	for _, r := range routes {
		want := 503
		if r.Operation == "SwarmInit" || r.Operation == "SwarmJoin" {
			want = 501
		}
		if got := api.Status(r.Handler(nil, &api.Request{})); got != want {
			t.Errorf("%s: %d instead of %d", r.Operation, got, want)
		}
	}
}
