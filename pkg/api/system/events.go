package system

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/events"
)

func (h handlers) getEvents(w http.ResponseWriter, r *api.Request) error {
	since, err := r.Time("since")
	if err != nil {
		return err
	}
	until, err := r.Time("until")
	if err != nil {
		return err
	}
	if !until.IsZero() && until.Before(since) {
		return api.Invalid("`since` time (%s) cannot be after `until` time (%s)", r.Query.Get("since"), r.Query.Get("until"))
	}
	f, err := r.Filters()
	if err != nil {
		return err
	}
	out := api.NewLines(w, r)
	each := func(m events.Message) error {
		if !hasEvent(m, r.Version) {
			return nil
		}
		return out.Send(convertEvent(m, r.Version))
	}
	err = h.backend.Events(r.Context(), since, until, f, out.Begin, each)
	if r.Context().Err() != nil {
		return nil // the client has left, or the daemon does
	}
	return err
}
