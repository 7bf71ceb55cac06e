// Package few makes a tree of one command: the one that is called. To make all of them,
// and to initialize what they are linked with, takes longer than most commands do.
package few

import (
	_ "unsafe" // for go:linkname

	"github.com/docker/cli/cli/command"
	_ "github.com/docker/cli/cli/command/container" // these register their commands
	_ "github.com/docker/cli/cli/command/image"
	_ "github.com/docker/cli/cli/command/network"
	_ "github.com/docker/cli/cli/command/volume"
	cliflags "github.com/docker/cli/cli/flags"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cmd/berth/client"
	"github.com/berth-engine/berth/cmd/berth/root"
)

// registered are the constructors of commands. docker/cli hands them out only with those of
// every package of its own, and linking these is what is to be avoided. A release of it
// without this function does not link.
//
//go:linkname registered github.com/docker/cli/internal/commands.Commands
func registered() []func(command.Cli) *cobra.Command

// New makes the root command with the one below it that is called verb, one of early.Verbs.
func New(verb string) client.Tree {
	return func(dockerCLI *command.DockerCli, name string) (*cobra.Command, *cliflags.ClientOptions) {
		tree, opts := root.New(dockerCLI, name)
		for _, construct := range registered() {
			if cmd := construct(dockerCLI); cmd.Name() == verb {
				tree.AddCommand(cmd)
				break
			}
		}
		root.ReplaceCopy(tree, dockerCLI)
		root.AddToVolumes(tree, dockerCLI)
		return tree, opts
	}
}
