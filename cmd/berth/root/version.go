package root

import (
	"runtime/debug"
	"strings"
)

// cliModule is where the commands come from.
const cliModule = "github.com/docker/cli"

// DockerVersion is the release of docker/cli in this program.
func DockerVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == cliModule {
			return strings.TrimSuffix(strings.TrimPrefix(m.Version, "v"), "+incompatible")
		}
	}
	return "unknown"
}
