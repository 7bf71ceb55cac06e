package exec

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/engine"
	"github.com/moby/moby/api/types/container"
)

func (h handlers) start(w http.ResponseWriter, r *api.Request) error {
	var body container.ExecStartRequest
	r.LimitBody(w) // before the stream comes a JSON object
	if err := r.ReadJSON(&body); err != nil {
		return err
	}
	o := engine.ExecStartOptions{
		Detach:      body.Detach,
		Tty:         body.Tty,
		ConsoleSize: consoleSize(body.ConsoleSize, body.Tty, r.Version),
	}
	if o.Detach {
		if err := h.backend.ExecStart(r.Context(), r.Name, o, nil); err != nil {
			return err
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}
	ctx, open, release := r.Hijack(w)
	defer release()
	return h.backend.ExecStart(ctx, r.Name, o, open)
}
