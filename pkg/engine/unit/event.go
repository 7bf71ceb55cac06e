package unit

import (
	"maps"

	"github.com/moby/moby/api/types/events"
)

// Event is a container's event with Docker's attributes: its labels, image and
// name, and what the action adds.
func (u *Unit) Event(action events.Action, extra map[string]string) events.Message {
	r := u.View().Record
	attrs := make(map[string]string, len(r.Config.Labels)+len(extra)+2)
	maps.Copy(attrs, r.Config.Labels)
	attrs["image"] = r.Config.Image
	attrs["name"] = r.Name
	maps.Copy(attrs, extra)
	return events.Message{
		Type:   events.ContainerEventType,
		Action: action,
		Actor:  events.Actor{ID: r.ID, Attributes: attrs},
		Scope:  "local",
	}
}
