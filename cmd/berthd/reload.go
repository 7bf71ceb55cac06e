package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/berth-engine/berth/pkg/config"
	"github.com/berth-engine/berth/pkg/images"
	"github.com/berth-engine/berth/pkg/system"
	"github.com/berth-engine/berth/pkg/trace"
	"github.com/moby/moby/api/types/events"
)

// live is what a reload changes. SIGHUP has the configuration read again: what can
// change while the daemon runs does, the rest waits for the next start and is
// named in the log. A configuration with a mistake changes nothing.
type live struct {
	level *slog.LevelVar
	log   *slog.Logger
	parts *parts
	began *config.Config // what holds of all that a reload does not apply

	mu      sync.Mutex // guards the rest
	cfg     *config.Config
	tracing func() // ends it; nil when it is off
}

func settings(cfg *config.Config, bin binaries) system.Settings {
	s := system.Settings{
		Labels: cfg.Labels, Debug: cfg.Debug, Insecure: cfg.InsecureRegistries, Mirrors: cfg.RegistryMirrors,
		Runtimes: map[string]string{}, Runtime: cfg.DefaultRuntime,
	}
	for name, b := range ociRuntimes(cfg, bin) {
		s.Runtimes[name] = b.Path
	}
	return s
}

func transfers(cfg *config.Config) images.Transfers {
	return images.Transfers{Downloads: cfg.MaxDownloads, Uploads: cfg.MaxUploads, Attempts: cfg.MaxDownloadAttempts}
}

// watch reloads at each SIGHUP until stop is called.
func (l *live) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-hangups:
				l.reload(os.Args[1:])
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangups)
		cancel()
		<-done
	}
}

func (l *live) reload(args []string) {
	next, err := configuration(args, io.Discard)
	if err != nil {
		l.log.Error("the configuration is not reloaded", "error", err)
		return
	}
	if err := l.parts.runtime.SetRuntimes(ociRuntimes(next, l.parts.bin), next.DefaultRuntime); err != nil {
		l.log.Error("the configuration is not reloaded", "error", err)
		return
	}
	l.mu.Lock()
	waiting := l.began.Waiting(next)
	l.cfg = next
	l.mu.Unlock()
	l.level.Set(next.LogLevel)
	l.debug(next.Debug)
	l.parts.system.Set(settings(next, l.parts.bin))
	l.parts.transfers.Set(transfers(next))
	l.parts.registries.Trust(next.InsecureRegistries, next.RegistryMirrors)
	l.log.Info("the configuration is reloaded", "file", next.File)
	if len(waiting) > 0 {
		l.log.Warn("these settings change with the next start of berthd", "settings", strings.Join(waiting, ", "))
	}
	l.parts.bus.Publish(events.Message{Type: events.DaemonEventType, Action: events.ActionReload, Actor: l.parts.system.Actor()})
}

// debug turns the spans of requests on or off.
func (l *live) debug(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case on && l.tracing == nil:
		l.tracing = trace.Enable(l.log)
	case !on && l.tracing != nil:
		l.tracing()
		l.tracing = nil
	}
}

func (l *live) end() { l.debug(false) }

func (l *live) shutdownTimeout() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cfg.ShutdownTimeout
}
