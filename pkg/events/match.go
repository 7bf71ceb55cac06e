package events

import (
	"slices"
	"strings"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/events"
)

// actors are the filters that name an object of that type. Docker matches
// their values as prefixes of the actor's ID or name, whatever the event's type.
var actors = []string{"container", "daemon", "plugin", "volume", "network", "node", "service", "secret", "config"}

// withDetail are the actions that go on with ": " and a detail.
var withDetail = []string{"exec_create", "exec_start", "health_status"}

// match decides as Docker's event filter does: any value of a key, every key.
func match(f filters.Args, m events.Message) bool {
	if len(f) == 0 {
		return true
	}
	for _, key := range actors {
		if !f.MatchFunc(key, func(want string) bool {
			return strings.HasPrefix(m.Actor.ID, want) || strings.HasPrefix(m.Actor.Attributes["name"], want)
		}) {
			return false
		}
	}
	return matchAction(f, string(m.Action)) &&
		f.Match("type", string(m.Type)) &&
		f.Match("scope", m.Scope) &&
		matchImage(f, m) &&
		f.MatchLabels("label", m.Actor.Attributes)
}

// matchAction compares whole actions, unless the filter has one that goes on
// with a detail: then all its values are prefixes (moby issue 25798).
func matchAction(f filters.Args, action string) bool {
	if slices.ContainsFunc(f["event"], func(v string) bool { return slices.Contains(withDetail, v) }) {
		return f.MatchFunc("event", func(want string) bool { return strings.HasPrefix(action, want) })
	}
	return f.Match("event", action)
}

// matchImage finds the events of an image and those of containers made from
// it, by ID or by name with or without its tag.
func matchImage(f filters.Args, m events.Message) bool {
	if !f.Has("image") {
		return true
	}
	name := m.Actor.Attributes["image"]
	if m.Type == events.ImageEventType {
		name = m.Actor.Attributes["name"]
	}
	return f.MatchFunc("image", func(want string) bool {
		return want == m.Actor.ID || want == name || want == familiar(m.Actor.ID) || want == familiar(name)
	})
}

// familiar is a reference without registry defaults, tag and digest; what is
// no reference stays as it is.
func familiar(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.FamiliarName(named)
}
