package system

import (
	"io"
	"net/http"
	"strconv"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/swarm"
)

func (h handlers) getPing(w http.ResponseWriter, r *api.Request) error {
	head := w.Header()
	head.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	head.Set("Pragma", "no-cache")
	head.Set("Swarm", string(swarm.LocalNodeStateInactive))
	if h.ping.Builder != "" {
		head.Set("Builder-Version", h.ping.Builder)
	}
	head.Set("Content-Type", "text/plain; charset=utf-8")
	body := "OK"
	if r.Method == http.MethodHead {
		body = ""
	}
	head.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, err := io.WriteString(w, body)
	return err
}
