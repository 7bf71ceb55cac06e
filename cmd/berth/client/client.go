// Package client is what the programs of the client have in common: they differ in the
// commands that are linked into them. The commands are docker/cli's, with Berth's socket
// as the default and messages that speak of Berth. It talks to any Docker daemon that
// DOCKER_HOST or a context names, and holds no code of the engine.
package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	cliflags "github.com/docker/cli/cli/flags"
	"github.com/moby/moby/client"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/berth-engine/berth/cmd/berth/frames"
	"github.com/berth-engine/berth/cmd/berth/root"
)

// Tree makes the root command with the commands of a program below it.
type Tree func(dockerCLI *command.DockerCli, name string) (*cobra.Command, *cliflags.ClientOptions)

// Main is the program: it runs the command that the arguments name, and ends the process
// with its status.
func Main(tree Tree) {
	// Most commands end before they have made 16 MB: to collect at 4 MB, on the way to
	// the first request, is a fifth of the processor time that the whole command takes.
	debug.SetGCPercent(400)
	// The last words of a command have to be out before the process ends, so
	// nothing below calls os.Exit but the third signal.
	os.Exit(run(tree))
}

func run(tree Tree) int {
	ctx, stop := withSignals(context.Background())
	defer stop()
	name := programName(os.Args[0])
	setVersion(name)
	dockerCLI, err := command.NewDockerCli(
		command.WithBaseContext(ctx),
		command.WithUserAgent(userAgent(name)),
		command.WithAPIClientOptions(client.WithResponseHook(frames.Join)),
	)
	if err == nil {
		logrus.SetOutput(dockerCLI.Err()) // docker/cli logs through it
		err = execute(ctx, tree, dockerCLI, name)
	}
	return report(os.Stderr, name, err)
}

// programName is docker for a client that was started under that name, which is how
// it takes Docker's place.
func programName(arg0 string) string {
	if filepath.Base(arg0) == root.Docker {
		return root.Docker
	}
	return root.Berth
}

// execute finds the command in the arguments and runs it, or the CLI plugin of
// that name.
func execute(ctx context.Context, newTree Tree, dockerCLI *command.DockerCli, name string) error {
	tree, opts := newTree(dockerCLI, name)
	top := cli.NewTopLevelCommand(tree, dockerCLI, opts, tree.Flags())
	_, args, err := top.HandleGlobalFlags()
	if err != nil {
		return err
	}
	if err := top.Initialize(); err != nil {
		return err
	}
	usedDefault := name == root.Berth && useBerthSocket(dockerCLI, opts)
	if len(args) == 0 {
		tree.SetArgs(args)
		return tree.ExecuteContext(ctx)
	}
	if err := root.AddPluginsToComplete(tree, dockerCLI, args); err != nil {
		return err
	}
	sub, _, err := tree.Find(args)
	if err != nil {
		if err := execPlugin(dockerCLI, tree, args[0], usedDefault); err != nil {
			return err
		}
	}
	go exitOnThirdSignal(ctx, dockerCLI)
	tree.SetArgs(args)
	err = tree.ExecuteContext(ctx)
	if name == root.Docker {
		return err
	}
	return explain(ctx, dockerCLI, sub, err)
}

// terminated is the cause of a context that a signal ended.
type terminated struct{ signal syscall.Signal }

func (t terminated) Error() string { return "stopped by signal " + t.signal.String() }

var terminations = []os.Signal{syscall.SIGINT, syscall.SIGTERM}

// withSignals returns a context that the first termination signal cancels.
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, terminations...)
	go func() {
		select {
		case s := <-signals:
			if n, ok := s.(syscall.Signal); ok {
				cancel(terminated{n})
			}
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// exitOnThirdSignal is the way out of a command that does not end with its
// context: two more signals, then the process goes, with the terminal restored.
func exitOnThirdSignal(ctx context.Context, streams command.Streams) {
	<-ctx.Done()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, terminations...)
	<-signals
	<-signals
	_, _ = fmt.Fprintln(streams.Err(), "\ngot 3 SIGTERM/SIGINTs, forcefully exiting")
	streams.In().RestoreTerminal()
	streams.Out().RestoreTerminal()
	streams.Err().RestoreTerminal()
	os.Exit(1)
}

// report prints err in the program's words and says with which status to exit: the
// command's own, 128 and the signal's number after a signal, else 1.
func report(stderr *os.File, name string, err error) int {
	var t terminated
	var status cli.StatusError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &t):
		return 128 + int(t.signal)
	case errors.Is(err, context.Canceled):
		return 0 // the user left a view, such as events, as it is meant to be left
	}
	message := err.Error()
	if name == root.Berth {
		message = berthError(message)
	}
	if message != "" {
		_, _ = fmt.Fprintln(stderr, message)
	}
	if errors.As(err, &status) && status.StatusCode != 0 {
		return status.StatusCode
	}
	return 1
}
