package supervise

import (
	"maps"
	"slices"
)

// Levels orders what depends on one another, given the dependencies of each:
// nothing in a level depends on a later one, nor on its own. What is not among the
// keys counts as there. A circle has no order: its members, and who depends on them,
// come in the last level.
func Levels(deps map[string][]string) (levels [][]string) {
	placed := map[string]bool{}
	ready := func(id string) bool {
		return !slices.ContainsFunc(deps[id], func(d string) bool {
			_, known := deps[d]
			return known && !placed[d]
		})
	}
	for len(placed) < len(deps) {
		var level, rest []string
		for _, id := range slices.Sorted(maps.Keys(deps)) {
			switch {
			case placed[id]:
			case ready(id):
				level = append(level, id)
			default:
				rest = append(rest, id)
			}
		}
		if len(level) == 0 {
			level = rest
		}
		for _, id := range level {
			placed[id] = true
		}
		levels = append(levels, level)
	}
	return levels
}
