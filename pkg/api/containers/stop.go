package containers

import (
	"fmt"
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/engine"
)

func (h handlers) stop(w http.ResponseWriter, r *api.Request) error {
	o, err := stopOptions(r)
	if err != nil {
		return err
	}
	if err := h.backend.Stop(r.Context(), r.Name, o); err != nil {
		return err
	}
	return api.NoContent(w)
}

func (h handlers) restart(w http.ResponseWriter, r *api.Request) error {
	o, err := stopOptions(r)
	if err != nil {
		return err
	}
	if err := h.backend.Restart(r.Context(), r.Name, o); err != nil {
		return err
	}
	return api.NoContent(w)
}

func stopOptions(r *api.Request) (o engine.StopOptions, err error) {
	if r.Version >= api.V1(42) { // ignored before
		o.Signal = r.Query.Get("signal")
	}
	o.Timeout, err = r.Int("t")
	return o, err
}

func (h handlers) kill(w http.ResponseWriter, r *api.Request) error {
	if err := h.backend.Kill(r.Context(), r.Name, r.Query.Get("signal")); err != nil {
		return fmt.Errorf("cannot kill container: %s: %w", r.Name, err)
	}
	return api.NoContent(w)
}
