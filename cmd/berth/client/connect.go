package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	cliflags "github.com/docker/cli/cli/flags"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cmd/berth/root"
)

// useBerthSocket makes Berth's socket the host unless a flag, DOCKER_HOST or a
// context names another. It has to follow Initialize, which settles the context,
// and reports whether it did anything.
func useBerthSocket(dockerCLI *command.DockerCli, opts *cliflags.ClientOptions) bool {
	if len(opts.Hosts) > 0 || os.Getenv(client.EnvOverrideHost) != "" || dockerCLI.CurrentContext() != command.DefaultContextName {
		return false
	}
	opts.Hosts = []string{root.Host} // read when the first request is made
	return true
}

// explain replaces the error of a command that could not reach the daemon by one
// that names the address and what starts a daemon there.
func explain(ctx context.Context, dockerCLI *command.DockerCli, cmd *cobra.Command, err error) error {
	// info prints the failure itself and returns an error that does not tell.
	if err == nil || !client.IsErrConnectionFailed(err) && (cmd == nil || cmd.Name() != "info") {
		return err
	}
	message := unreachable(ctx, dockerCLI.DockerEndpoint().Host)
	if message == "" {
		return err
	}
	status := 1
	if cmd != nil && cmd.Name() == "run" {
		status = 125 // "the error is with the daemon itself"
	}
	return cli.StatusError{Status: message, StatusCode: status}
}

// unreachable tries host and says why nobody answers there; "" if somebody does,
// or if host is not an address that can be tried.
func unreachable(ctx context.Context, host string) string {
	proto, addr, _ := strings.Cut(host, "://")
	if proto != "unix" && proto != "tcp" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, proto, addr)
	switch {
	case err == nil:
		_ = conn.Close()
		return ""
	case errors.Is(err, context.Canceled):
		return ""
	case errors.Is(err, os.ErrPermission):
		return fmt.Sprintf("Permission denied while trying to connect to the Berth daemon at %s.\n"+
			"Run berth as root, or as a member of the group that owns the socket.", host)
	}
	return fmt.Sprintf("Cannot connect to the Berth daemon at %s. Is berthd running?\n%s", host, startCommand(proto, host))
}

func startCommand(proto, host string) string {
	switch {
	case proto == "tcp":
		return fmt.Sprintf("It listens there when started with: berthd --tlsverify -H %s", host)
	case host != root.Host:
		return fmt.Sprintf("Start it with: sudo berthd -H %s", host)
	case unitInstalled():
		return "Start it with: sudo systemctl start berth"
	default:
		return "Start it with: sudo berthd"
	}
}

// unitInstalled reports whether systemd runs here and has our unit.
func unitInstalled() bool {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return false
	}
	for _, dir := range []string{"/etc", "/usr/local/lib", "/usr/lib", "/lib"} {
		if _, err := os.Stat(dir + "/systemd/system/berth.service"); err == nil {
			return true
		}
	}
	return false
}
