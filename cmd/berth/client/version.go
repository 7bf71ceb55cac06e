package client

import (
	"runtime"

	cliversion "github.com/docker/cli/cli/version"

	"github.com/berth-engine/berth/cmd/berth/root"
	"github.com/berth-engine/berth/pkg/version"
)

// setVersion gives docker/cli's version command our values, or as docker its own.
func setVersion(name string) {
	cliversion.PlatformName = "Berth"
	cliversion.Version = version.Version
	if name == root.Docker {
		cliversion.Version = root.DockerVersion()
	}
	cliversion.GitCommit = version.Commit
	cliversion.BuildTime = version.Built
}

// userAgent is what daemons log of this client.
func userAgent(name string) string {
	if name == root.Docker {
		return "Docker-Client/" + root.DockerVersion() + " (" + runtime.GOOS + ")"
	}
	return "Berth-Client/" + version.Version + " (" + runtime.GOOS + ")"
}
