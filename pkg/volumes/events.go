package volumes

import (
	"maps"
	"strconv"

	"github.com/moby/moby/api/types/events"
)

// tell publishes what happened to a volume, with Docker's attributes.
func (s *Store) tell(action events.Action, name, driver string, more map[string]string) {
	attributes := maps.Clone(more)
	if attributes == nil {
		attributes = map[string]string{}
	}
	if driver != "" {
		attributes["driver"] = driver
	}
	s.publish(events.Message{
		Type: events.VolumeEventType, Action: action, Actor: events.Actor{ID: name, Attributes: attributes}, Scope: "local",
	})
}

// mounted tells that a container has a volume mounted.
func (s *Store) mounted(container string, e *entry, p Point) {
	s.tell(events.ActionMount, e.meta.Name, e.meta.Driver, map[string]string{
		"container": container, "destination": p.Destination, "read/write": strconv.FormatBool(p.RW), "propagation": string(p.Propagation),
	})
}
