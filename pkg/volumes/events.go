package volumes

import (
	"maps"
	"strconv"

	"github.com/berth-engine/berth/pkg/volumes/points"
	"github.com/moby/moby/api/types/events"
)

// teller publishes what happens to volumes, with Docker's attributes.
type teller func(events.Message)

func (t teller) tell(action events.Action, m metadata, more map[string]string) {
	attributes := map[string]string{"driver": m.Driver}
	maps.Copy(attributes, more)
	t(events.Message{
		Type: events.VolumeEventType, Action: action, Actor: events.Actor{ID: m.Name, Attributes: attributes}, Scope: "local",
	})
}

// mounted tells that a container has a volume mounted.
func (t teller) mounted(container string, m metadata, p points.Point) {
	t.tell(events.ActionMount, m, map[string]string{
		"container": container, "destination": p.Destination, "read/write": strconv.FormatBool(p.RW), "propagation": string(p.Propagation),
	})
}

func (t teller) pruned(reclaimed uint64) {
	t(events.Message{
		Type: events.VolumeEventType, Action: events.ActionPrune, Scope: "local",
		Actor: events.Actor{Attributes: map[string]string{"reclaimed": strconv.FormatUint(reclaimed, 10)}},
	})
}
