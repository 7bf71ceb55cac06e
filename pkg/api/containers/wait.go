package containers

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/container"
)

func (h handlers) wait(w http.ResponseWriter, r *api.Request) error {
	condition, err := waitCondition(r)
	if err != nil {
		return err
	}
	begun := false
	registered := func() {
		// The headers tell the client that it may start the container now:
		// no exit can be missed any more.
		if r.Version >= api.V1(30) {
			begun = api.Begin(w, "application/json") == nil
		}
	}
	result, err := h.backend.Wait(r.Context(), r.Name, condition, registered)
	switch {
	case err != nil && !begun:
		return err
	case r.Context().Err() != nil:
		return r.Context().Err()
	case err != nil:
		result = container.WaitResponse{StatusCode: -1, Error: &container.WaitExitError{Message: err.Error()}}
	}
	if condition == container.WaitConditionRemoved && result.Error != nil && r.Version < api.V1(34) {
		return nil // an empty body is how clients up to 1.33 learn of a failed removal
	}
	return api.FinishJSON(w, result)
}

func waitCondition(r *api.Request) (container.WaitCondition, error) {
	switch c := container.WaitCondition(r.Query.Get("condition")); {
	case c == "" || r.Version < api.V1(30):
		return container.WaitConditionNotRunning, nil
	case c == container.WaitConditionNotRunning, c == container.WaitConditionNextExit, c == container.WaitConditionRemoved:
		return c, nil
	default:
		return "", api.Invalid("invalid condition: %q", string(c))
	}
}
