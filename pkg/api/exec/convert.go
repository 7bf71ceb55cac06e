package exec

import "github.com/berth-engine/berth/pkg/api"

// consoleSize: the initial size came in API 1.42, and means something on a
// terminal only.
func consoleSize(size *[2]uint, tty bool, v api.Version) *[2]uint {
	if v < api.V1(42) || !tty {
		return nil
	}
	return size
}
