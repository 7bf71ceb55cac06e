package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"

	"github.com/docker/cli/cli"
	pluginmanager "github.com/docker/cli/cli-plugins/manager"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/command/commands"
	cliflags "github.com/docker/cli/cli/flags"
	cliversion "github.com/docker/cli/cli/version"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cmd/berth/build"
	"github.com/berth-engine/berth/cmd/berth/volumes"
	"github.com/berth-engine/berth/pkg/config"
	"github.com/berth-engine/berth/pkg/version"
)

const defaultHost = "unix://" + config.DefaultSocket

// setVersion gives docker/cli's version command our values.
func setVersion() {
	cliversion.PlatformName = "Berth"
	cliversion.Version = version.Version
	cliversion.GitCommit = version.Commit
	cliversion.BuildTime = version.Built
}

func userAgent() string {
	return "Berth-Client/" + version.Version + " (" + runtime.GOOS + ")"
}

// newRoot makes the root command with docker/cli's commands below it.
func newRoot(dockerCLI *command.DockerCli) (*cobra.Command, *cliflags.ClientOptions) {
	root := &cobra.Command{
		Use:              "berth [OPTIONS] COMMAND [ARG...]",
		Short:            "A container engine that speaks Docker and is made of containerd",
		SilenceUsage:     true,
		SilenceErrors:    true,
		TraverseChildren: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return command.ShowHelp(dockerCLI.Err())(cmd, args)
			}
			return fmt.Errorf("berth: unknown command: berth %s\n\nRun 'berth --help' for more information", args[0])
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return checkAPIVersion(cmd, dockerCLI.CurrentVersion)
		},
		Version:               version.Version + ", build " + version.Commit,
		DisableFlagsInUseLine: true,
		CompletionOptions: cobra.CompletionOptions{
			HiddenDefaultCmd:    true,
			DisableDescriptions: os.Getenv("DOCKER_CLI_DISABLE_COMPLETION_DESCRIPTION") != "",
		},
	}
	// Few commands and flags complete with file names; those say so themselves.
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.SetIn(dockerCLI.In())
	root.SetOut(dockerCLI.Out())
	root.SetErr(dockerCLI.Err())
	opts, _ := cli.SetupRootCommand(root)
	root.SetVersionTemplate("Berth version {{.Version}}\n")
	root.Flags().BoolP("version", "v", false, "Print version information and quit")
	root.Flags().Lookup("host").Usage = fmt.Sprintf("Daemon socket to connect to (default %q)", defaultHost)
	root.Annotations["additionalHelp"] = "The commands are Docker's; see also https://docs.docker.com/reference/cli/docker/"
	commands.AddCommands(root, dockerCLI)
	replaceBuild(root, dockerCLI)
	if volume, _, err := root.Find([]string{"volume"}); err == nil {
		volume.AddCommand(volumes.Commands(dockerCLI)...)
	}
	setHelp(root, dockerCLI)
	return root, opts
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

// setHelp words the help of a command as Berth's before it is shown. Only then:
// the whole tree has a thousand flags, and no other command should pay for it.
func setHelp(root *cobra.Command, dockerCLI *command.DockerCli) {
	show := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		if cmd == root {
			if err := pluginmanager.AddPluginCommandStubs(dockerCLI, root); err != nil {
				cmd.PrintErrln(err)
			}
			hideWithout(root, "bake", "buildx")
		}
		rewordHelp(cmd)
		show(cmd, args)
	})
}

// hideWithout hides a command that needs a plugin which is not there.
func hideWithout(root *cobra.Command, name, plugin string) {
	named := func(name string) func(*cobra.Command) bool {
		return func(c *cobra.Command) bool { return c.Name() == name }
	}
	all := root.Commands()
	if i := slices.IndexFunc(all, named(name)); i >= 0 && !slices.ContainsFunc(all, named(plugin)) {
		all[i].Hidden = true
	}
}

// useBerthSocket makes Berth's socket the host unless a flag, DOCKER_HOST or a
// context names another. It has to follow Initialize, which settles the context,
// and reports whether it did anything.
func useBerthSocket(dockerCLI *command.DockerCli, opts *cliflags.ClientOptions) bool {
	if len(opts.Hosts) > 0 || os.Getenv(client.EnvOverrideHost) != "" || dockerCLI.CurrentContext() != command.DefaultContextName {
		return false
	}
	opts.Hosts = []string{defaultHost} // read when the first request is made
	return true
}
