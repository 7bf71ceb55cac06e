package client

import (
	"fmt"
	"os"
	"syscall"

	"github.com/containerd/errdefs"
	pluginmanager "github.com/docker/cli/cli-plugins/manager"
	"github.com/docker/cli/cli/command"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cmd/berth/root"
)

// execPlugin replaces this process by the CLI plugin of that name (compose,
// buildx), so that signals, terminal and exit status are the plugin's own. It
// returns nil when there is no such plugin.
func execPlugin(dockerCLI *command.DockerCli, tree *cobra.Command, name string, berthSocket bool) error {
	cmd, err := pluginmanager.PluginRunCommand(dockerCLI, name, tree)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	env := cmd.Env
	if berthSocket {
		// The plugin parses our arguments by itself and would choose Docker's socket.
		env = append(env, client.EnvOverrideHost+"="+root.Host)
	}
	if err := syscall.Exec(cmd.Path, cmd.Args, env); err != nil {
		return fmt.Errorf("plugin %s: %w", cmd.Path, &os.PathError{Op: "exec", Path: cmd.Path, Err: err})
	}
	return nil
}
