// Package whole makes the tree of all the client's commands: those of docker/cli, with
// our build, volumes and doctor among them. Programs that describe the tree (manual
// pages, completions) take it from here as the client does.
package whole

import (
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/command/commands"
	cliflags "github.com/docker/cli/cli/flags"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cmd/berth/build"
	"github.com/berth-engine/berth/cmd/berth/doctor"
	"github.com/berth-engine/berth/cmd/berth/root"
)

// New makes the root command with all others below it. name is root.Berth or root.Docker.
func New(dockerCLI *command.DockerCli, name string) (*cobra.Command, *cliflags.ClientOptions) {
	tree, opts := root.New(dockerCLI, name)
	commands.AddCommands(tree, dockerCLI)
	replaceBuild(tree, dockerCLI)
	root.ReplaceCopy(tree, dockerCLI)
	root.AddToVolumes(tree, dockerCLI)
	tree.AddCommand(doctor.NewCommand(dockerCLI))
	return tree, opts
}

// replaceBuild puts our build where docker/cli has its own, which needs a plugin.
func replaceBuild(cmd *cobra.Command, dockerCLI *command.DockerCli) {
	for _, sub := range cmd.Commands() {
		switch sub.Name() {
		case "build":
			cmd.RemoveCommand(sub)
			cmd.AddCommand(build.NewCommand(dockerCLI))
		case "builder", "image":
			replaceBuild(sub, dockerCLI)
		}
	}
}
