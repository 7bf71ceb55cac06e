package health

import (
	"slices"
	"strconv"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	ctypes "github.com/moby/moby/api/types/container"
)

// RestartLabel, when true, has a container restarted that became unhealthy,
// whatever its restart policy. It is ours: Docker leaves that to others.
const RestartLabel = "engine.berth.restart-on-unhealthy"

// kept is how many results State.Health.Log holds.
const kept = 5

// settings are how a container's health is checked.
type settings struct {
	command                                       []string
	interval, timeout, startPeriod, startInterval time.Duration
	retries                                       int
}

// settingsOf reads a configuration, with Docker's defaults (Dockerfile reference,
// HEALTHCHECK); ok is false when nothing is to be checked.
func settingsOf(cfg *ctypes.Config) (s settings, ok bool) {
	h := cfg.Healthcheck
	if h == nil || len(h.Test) < 2 {
		return settings{}, false // ["NONE"] among them
	}
	switch h.Test[0] {
	case "CMD":
		s.command = h.Test[1:]
	case "CMD-SHELL":
		shell := []string{"/bin/sh", "-c"}
		if len(cfg.Shell) > 0 {
			shell = cfg.Shell
		}
		s.command = slices.Concat(shell, h.Test[1:])
	default:
		return settings{}, false
	}
	s.interval, s.timeout, s.startPeriod, s.startInterval = 30*time.Second, 30*time.Second, h.StartPeriod, 5*time.Second
	s.retries = 3
	for _, o := range []struct {
		to   *time.Duration
		said time.Duration
	}{{&s.interval, h.Interval}, {&s.timeout, h.Timeout}, {&s.startInterval, h.StartInterval}} {
		if o.said > 0 {
			*o.to = o.said
		}
	}
	if h.Retries > 0 {
		s.retries = h.Retries
	}
	return s, true
}

// pause is how long to wait before the next probe of a container that has been up
// for so long.
func (s settings) pause(status ctypes.HealthStatus, uptime time.Duration) time.Duration {
	if status == ctypes.Starting && uptime < s.startPeriod {
		return s.startInterval
	}
	return s.interval
}

// Begun is the health of a container that was just started: nil without a check.
// What the probes of earlier runs said is kept.
func Begun(cfg *ctypes.Config, old *ctypes.Health) *ctypes.Health {
	if _, ok := settingsOf(cfg); !ok {
		return nil
	}
	h := &ctypes.Health{Status: ctypes.Starting, Log: []*ctypes.HealthcheckResult{}}
	if old != nil {
		h.Log = old.Log
	}
	return h
}

// Ceased is the health of a container that is not being probed, because it is
// paused or has ended: unhealthy, as Docker has it. The failing streak stays.
func Ceased(old *ctypes.Health) *ctypes.Health {
	if old == nil {
		return nil
	}
	h := *old
	h.Status = ctypes.Unhealthy
	return &h
}

// judge gives the health that follows from a probe's result. Failures within the
// start period do not count before the first success.
func (s settings) judge(old *ctypes.Health, started time.Time, r *ctypes.HealthcheckResult) *ctypes.Health {
	h := *old
	h.Log = append(slices.Clone(old.Log[max(0, len(old.Log)+1-kept):]), r)
	switch {
	case r.ExitCode == 0:
		h.Status, h.FailingStreak = ctypes.Healthy, 0
	case h.Status == ctypes.Starting && r.Start.Sub(started) < s.startPeriod:
	default:
		if h.FailingStreak++; h.FailingStreak >= s.retries {
			h.Status = ctypes.Unhealthy
		}
	}
	return &h
}

// Restarts says whether a container asks to be restarted when it is unhealthy.
func Restarts(cfg *ctypes.Config) bool {
	wanted, _ := strconv.ParseBool(cfg.Labels[RestartLabel])
	return wanted
}

// Failed says whether a container is to be restarted for its health's sake: its
// probes, not a pause or an end, made it unhealthy, and it asks for that.
func Failed(cfg *ctypes.Config, status container.Status) bool {
	s, ok := settingsOf(cfg)
	return ok && Restarts(cfg) && status.Health != nil && status.Health.FailingStreak >= s.retries
}
