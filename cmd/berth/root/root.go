// Package root makes the root of the client's commands, and replaces those of
// docker/cli's that we have our own of.
package root

import (
	"fmt"
	"os"
	"slices"

	"github.com/docker/cli/cli"
	pluginmanager "github.com/docker/cli/cli-plugins/manager"
	"github.com/docker/cli/cli/command"
	cliflags "github.com/docker/cli/cli/flags"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cmd/berth/cp"
	"github.com/berth-engine/berth/cmd/berth/volumes"
	"github.com/berth-engine/berth/pkg/config"
	"github.com/berth-engine/berth/pkg/version"
)

// Names that the client goes by. Called docker, it speaks of Docker and has Docker's
// socket as its default, for scripts that compare what they read.
const (
	Berth  = "berth"
	Docker = "docker"
)

// Host is the daemon that berth talks to unless it is told another.
const Host = "unix://" + config.DefaultSocket

// New makes the root command, with nothing below it: a program adds the commands that
// it has. name is Berth or Docker.
func New(dockerCLI *command.DockerCli, name string) (*cobra.Command, *cliflags.ClientOptions) {
	root := &cobra.Command{
		Use:              name + " [OPTIONS] COMMAND [ARG...]",
		Short:            "A container engine that speaks Docker and is made of containerd",
		SilenceUsage:     true,
		SilenceErrors:    true,
		TraverseChildren: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return command.ShowHelp(dockerCLI.Err())(cmd, args)
			}
			return fmt.Errorf("%[1]s: unknown command: %[1]s %[2]s\n\nRun '%[1]s --help' for more information", name, args[0])
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkSupport(cmd, dockerCLI); err != nil {
				return err
			}
			return withoutProxy(cmd)
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
	root.Flags().BoolP("version", "v", false, "Print version information and quit")
	completeFlags(root, dockerCLI)
	if name == Docker {
		asDocker(root)
	} else {
		asBerth(root)
	}
	setHelp(root, dockerCLI)
	return root, opts
}

func asBerth(root *cobra.Command) {
	root.SetVersionTemplate("Berth version {{.Version}}\n")
	root.Flags().Lookup("host").Usage = fmt.Sprintf("Daemon socket to connect to (default %q)", Host)
	root.Annotations["additionalHelp"] = "The commands are Docker's; see also https://docs.docker.com/reference/cli/docker/"
}

// asDocker has --version name the release of docker/cli that this is: programs take
// it for what the client can do.
func asDocker(root *cobra.Command) {
	root.Version = DockerVersion() + ", build berth-" + version.Version
	root.SetVersionTemplate("Docker version {{.Version}}\n")
}

// withoutProxy has `run -d` not listen for signals: it would pass them on to the container,
// and ends as soon as that runs. To listen for all of them is a fifth of its processor
// time, two changes of thread for each signal.
func withoutProxy(cmd *cobra.Command) error {
	detach, proxy := cmd.Flags().Lookup("detach"), cmd.Flags().Lookup("sig-proxy")
	if cmd.Name() != "run" || detach == nil || proxy == nil || detach.Value.String() != "true" || proxy.Changed {
		return nil
	}
	return proxy.Value.Set("false")
}

// ReplaceCopy puts our cp where docker/cli has its own, if the tree has it.
func ReplaceCopy(root *cobra.Command, dockerCLI *command.DockerCli) {
	for _, path := range [][]string{{"cp"}, {"container", "cp"}} {
		if found, rest, err := root.Find(path); err == nil && len(rest) == 0 {
			cp.Replace(found, dockerCLI)
		}
	}
}

// AddToVolumes puts our commands for volumes beside docker/cli's, if the tree has these.
func AddToVolumes(root *cobra.Command, dockerCLI *command.DockerCli) {
	if volume, rest, err := root.Find([]string{"volume"}); err == nil && len(rest) == 0 {
		volume.AddCommand(volumes.Commands(dockerCLI)...)
	}
}

// setHelp words the help of a command as its program's before it is shown. Only then:
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
		hideForeign(cmd)
		if root.Name() == Berth {
			rewordHelp(cmd)
		}
		show(cmd, args)
	})
}

// Reword names Berth in the help of the whole tree, for those who print all of it.
func Reword(cmd *cobra.Command) {
	rewordHelp(cmd)
	for _, sub := range cmd.Commands() {
		Reword(sub)
	}
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
