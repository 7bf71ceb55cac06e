package root

import (
	"slices"

	pluginmanager "github.com/docker/cli/cli-plugins/manager"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

// completeFlags completes the values of the root's flags; the commands' own do so
// themselves.
func completeFlags(root *cobra.Command, dockerCLI *command.DockerCli) {
	_ = root.RegisterFlagCompletionFunc("context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		all, err := dockerCLI.ContextStore().List()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		names := []string{command.DefaultContextName}
		for _, c := range all {
			names = append(names, c.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}) // an error means that there is no such flag, or a function already
	_ = root.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error", "fatal"}, cobra.ShellCompDirectiveNoFileComp))
	for _, name := range []string{"tlscacert", "tlscert", "tlskey"} {
		_ = root.MarkFlagFilename(name, "pem", "crt", "key")
	}
	_ = root.MarkFlagDirname("config")
}

// AddPluginsToComplete puts the CLI plugins into the tree when args ask what
// completes a line. Finding them executes each, which only this is worth.
func AddPluginsToComplete(root *cobra.Command, dockerCLI *command.DockerCli, args []string) error {
	if !slices.Contains(args, cobra.ShellCompRequestCmd) && !slices.Contains(args, cobra.ShellCompNoDescRequestCmd) {
		return nil
	}
	return pluginmanager.AddPluginCommandStubs(dockerCLI, root)
}
