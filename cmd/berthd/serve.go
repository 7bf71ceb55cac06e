package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/config"
	"github.com/berth-engine/berth/pkg/store"
	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"
)

// serve runs the daemon until ctx ends.
func serve(ctx context.Context, cfg *config.Config, level *slog.LevelVar, log *slog.Logger) error {
	began := time.Now()
	live := &live{cfg: cfg, began: cfg, level: level, log: log}
	defer live.end()
	live.debug(cfg.Debug)
	for _, dir := range []string{cfg.DataRoot, cfg.ExecRoot} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return err
		}
	}
	// The lock on the data root comes before anything that a second berthd on
	// the same root could disturb.
	db, err := store.Open(filepath.Join(cfg.DataRoot, "berth.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	if err := useTemp(tempDir(cfg.DataRoot)); err != nil {
		return err
	}
	listeners, err := listen(cfg)
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	d, err := assemble(ctx, cfg, db, log)
	if err != nil {
		return err
	}
	defer d.close(log)
	server, err := d.server(cfg, log)
	if err != nil {
		return err
	}
	if d.metrics != nil {
		end, err := serveMetrics(cfg.MetricsAddr, d.metrics.Handler(), log)
		if err != nil {
			return err
		}
		defer end()
	}
	if err := writePidfile(cfg.Pidfile); err != nil {
		return err
	}
	defer os.Remove(cfg.Pidfile)
	log.Info("berthd is ready", "hosts", fmt.Sprint(cfg.Hosts), "after", time.Since(began).Round(time.Millisecond))
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady) // nobody listens outside of systemd
	live.parts = d
	stop := live.watch(ctx)
	defer stop()
	return answer(ctx, server, listeners, live.shutdownTimeout, log)
}

// answer serves every listener until ctx ends, and lets requests finish.
func answer(ctx context.Context, server *api.Server, listeners []net.Listener, timeout func() int, log *slog.Logger) error {
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	var group errgroup.Group
	for _, l := range listeners {
		group.Go(func() error {
			defer cancel() // one that fails ends all
			return server.Serve(l)
		})
	}
	<-run.Done()
	log.Info("berthd is ending; containers go on")
	_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
	shutdown := context.Background()
	if grace := timeout(); grace >= 0 {
		var stop context.CancelFunc
		shutdown, stop = context.WithTimeout(shutdown, time.Duration(grace)*time.Second)
		defer stop()
	}
	if err := server.Shutdown(shutdown); err != nil {
		log.Warn("requests were cut off", "error", err)
	}
	return group.Wait()
}

// writePidfile refuses to take over that of a berthd that lives.
func writePidfile(path string) error {
	if path == "" {
		return nil
	}
	if b, err := os.ReadFile(path); err == nil {
		if pid, err := strconv.Atoi(string(b)); err == nil && pid != os.Getpid() && isBerthd(pid) {
			return fmt.Errorf("process with PID %d is still running, and has the pidfile %s", pid, path)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// isBerthd tells a living berthd from a process that got its number later.
func isBerthd(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && filepath.Base(exe) == "berthd"
}

func closeAll(ls []net.Listener) {
	for _, l := range ls {
		_ = l.Close() // by the server already, if that has begun
	}
}
