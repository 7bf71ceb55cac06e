// Package doctor is `berth doctor`: it looks at this host and at what Berth has on
// it, says what is not as it should be, and what to do. It changes nothing.
//
// What is there is read from the kernel, from files and from containerd (host.go,
// engine.go); what follows from that is decided by functions of what was read alone
// (checks.go, leaks.go). It works while the daemon is dead, too: that is when it is
// asked.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/pkg/config"
)

// looks bounds how often what seems to be left over is looked at again: containers
// that start and end have such objects for a moment.
const (
	looks     = 5
	lookAgain = time.Second
)

// patience bounds what is asked of the daemon and of containerd at each look.
const patience = 10 * time.Second

// NewCommand is `berth doctor`.
func NewCommand(c command.Cli) *cobra.Command {
	var format, file, dataRoot, execRoot string
	cmd := &cobra.Command{
		Use: "doctor [OPTIONS]", Short: "Check this host and what the engine has on it, and say what to do", Args: cli.NoArgs,
		Long: "Check the kernel, cgroups, the firewall, programs, and what no container owns, on the host that the daemon runs on.\n\n" +
			"The exit status is 1 when there is a problem. Nothing is changed.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			show, ok := formats[format]
			if !ok {
				return fmt.Errorf("invalid format %q: there are table and json", format)
			}
			cfg, err := daemonConfig(file, dataRoot, execRoot)
			if err != nil {
				return err
			}
			results := examine(cmd.Context(), c, cfg)
			if err := show(c.Out(), results); err != nil {
				return err
			}
			if n := count(results, Problem); n > 0 {
				return cli.StatusError{StatusCode: 1, Status: fmt.Sprintf("problems: %d", n)}
			}
			return nil
		},
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().StringVar(&format, "format", "table", "Format of the output (table, json: an object a line)")
	cmd.Flags().StringVar(&file, "config-file", config.DefaultFile, "Configuration file of the daemon")
	cmd.Flags().StringVar(&dataRoot, "data-root", "", "The daemon's --data-root, when that was given as a flag")
	cmd.Flags().StringVar(&execRoot, "exec-root", "", "The daemon's --exec-root, when that was given as a flag")
	return cmd
}

// daemonConfig is what the daemon was told, as far as it matters here.
func daemonConfig(file, dataRoot, execRoot string) (*config.Config, error) {
	var args []string
	if file != config.DefaultFile { // which need not be there
		args = append(args, "--config-file", file)
	}
	if dataRoot != "" {
		args = append(args, "--data-root", dataRoot)
	}
	if execRoot != "" {
		args = append(args, "--exec-root", execRoot)
	}
	cfg, err := config.Parse(args, io.Discard)
	if err != nil {
		return nil, fmt.Errorf("the daemon's configuration: %w", err)
	}
	return cfg, nil
}

// examine looks, and looks again at what seems to be left over.
func examine(ctx context.Context, c command.Cli, cfg *config.Config) []Result {
	first := lookAtEngine(ctx, c, cfg)
	h := lookAtHost(cfg)
	h.bridged = first.daemon == nil && slices.ContainsFunc(first.networks, func(b bridge) bool { return b.link })
	results := append(checkHost(h), checkEngine(first)...)
	faults := suspects(first)
	for range looks - 1 {
		if len(faults) == 0 {
			break
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return append(results, Result{Check: "leaks", Status: Skipped, Detail: context.Cause(ctx).Error()})
		}
		faults = still(faults, suspects(lookAtEngine(ctx, c, cfg)))
	}
	return slices.Concat(results, innocent(first, faults), faults)
}

// still keeps what both looks saw.
func still(before, now []Result) (both []Result) {
	seen := make(map[string]bool, len(now))
	for _, r := range now {
		seen[r.Detail] = true
	}
	for _, r := range before {
		if seen[r.Detail] {
			both = append(both, r)
		}
	}
	return both
}

// message is an error without the classes around it, in one line.
func message(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}
