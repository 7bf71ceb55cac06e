// Command berthd is Berth's daemon: the Docker Engine API over an engine made
// of containerd.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/berth-engine/berth/pkg/config"
	"github.com/berth-engine/berth/pkg/version"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "berthd: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	cfg, err := configuration(args, os.Stdout)
	switch {
	case errors.Is(err, config.ErrHelp):
		return nil
	case err != nil:
		return err
	case cfg.ShowVersion:
		fmt.Printf("Berth version %s, build %s\n", version.Version, version.Commit)
		return nil
	case cfg.Validate:
		fmt.Println("configuration OK")
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("must be started as root: it makes namespaces, mounts and firewall rules (try: sudo berthd)")
	}
	level := &slog.LevelVar{}
	level.Set(cfg.LogLevel)
	log := newLogger(cfg, level)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// A client that hangs up in the middle of an answer must not end the daemon.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP) // the second until there is something to reload
	return serve(ctx, cfg, level, log)
}

func newLogger(cfg *config.Config, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(os.Stderr, o)
	if cfg.LogFormat == "json" {
		h = slog.NewJSONHandler(os.Stderr, o)
	}
	log := slog.New(h)
	slog.SetDefault(log)
	return log
}
