package health

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	ctypes "github.com/moby/moby/api/types/container"
)

func TestSettings(t *testing.T) {
	defaults := func(command ...string) settings {
		return settings{command: command, interval: 30 * time.Second, timeout: 30 * time.Second, startInterval: 5 * time.Second, retries: 3}
	}
	for _, c := range []struct {
		name string
		cfg  ctypes.Config
		want *settings // nil: nothing is checked
	}{
		{"no check", ctypes.Config{}, nil},
		{"options only", ctypes.Config{Healthcheck: &ctypes.HealthConfig{Retries: 2}}, nil},
		{"taken away", ctypes.Config{Healthcheck: &ctypes.HealthConfig{Test: []string{"NONE"}}}, nil},
		{"unknown kind", ctypes.Config{Healthcheck: &ctypes.HealthConfig{Test: []string{"HTTP", "/"}}}, nil},
		{"no command", ctypes.Config{Healthcheck: &ctypes.HealthConfig{Test: []string{"CMD"}}}, nil},
		{"command", ctypes.Config{Healthcheck: &ctypes.HealthConfig{Test: []string{"CMD", "a", "b"}}}, new(defaults("a", "b"))},
		{"shell", ctypes.Config{Healthcheck: &ctypes.HealthConfig{Test: []string{"CMD-SHELL", "a b"}}}, new(defaults("/bin/sh", "-c", "a b"))},
		{"own shell", ctypes.Config{Shell: []string{"ash", "-ec"}, Healthcheck: &ctypes.HealthConfig{Test: []string{"CMD-SHELL", "a"}}}, new(defaults("ash", "-ec", "a"))},
		{"all", ctypes.Config{Healthcheck: &ctypes.HealthConfig{
			Test: []string{"CMD", "a"}, Interval: 1, Timeout: 2, StartPeriod: 3, StartInterval: 4, Retries: 5,
		}}, &settings{command: []string{"a"}, interval: 1, timeout: 2, startPeriod: 3, startInterval: 4, retries: 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := settingsOf(&c.cfg)
			if ok != (c.want != nil) || ok && !reflect.DeepEqual(got, *c.want) {
				t.Errorf("got %+v, %v", got, ok)
			}
		})
	}
}

func TestPause(t *testing.T) {
	s := settings{interval: 30, startInterval: 5, startPeriod: 100}
	for _, c := range []struct {
		name   string
		status ctypes.HealthStatus
		uptime time.Duration
		want   time.Duration
	}{
		{"starting", ctypes.Starting, 10, 5},
		{"healthy within the start period", ctypes.Healthy, 10, 30},
		{"starting for long", ctypes.Starting, 100, 30},
		{"unhealthy", ctypes.Unhealthy, 200, 30},
	} {
		if got := s.pause(c.status, c.uptime); got != c.want {
			t.Errorf("%s: %d", c.name, got)
		}
	}
}

// TestJudge walks through the results of probes, in seconds after the start.
func TestJudge(t *testing.T) {
	type result struct {
		at, code int
		status   ctypes.HealthStatus
		streak   int
	}
	for _, c := range []struct {
		name    string
		s       settings
		results []result
	}{
		{"failures add up", settings{retries: 2}, []result{
			{1, 1, ctypes.Starting, 1}, {2, 1, ctypes.Unhealthy, 2}, {3, 1, ctypes.Unhealthy, 3}, {4, 0, ctypes.Healthy, 0},
		}},
		{"a success forgives", settings{retries: 2}, []result{
			{1, 0, ctypes.Healthy, 0}, {2, 1, ctypes.Healthy, 1}, {3, 0, ctypes.Healthy, 0}, {4, 2, ctypes.Healthy, 1}, {5, -1, ctypes.Unhealthy, 2},
		}},
		{"failures of the start do not count", settings{retries: 1, startPeriod: 10 * time.Second}, []result{
			{1, 1, ctypes.Starting, 0}, {9, 1, ctypes.Starting, 0}, {10, 1, ctypes.Unhealthy, 1},
		}},
		{"after a success they do", settings{retries: 1, startPeriod: 10 * time.Second}, []result{
			{1, 0, ctypes.Healthy, 0}, {2, 1, ctypes.Unhealthy, 1},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Unix(1000, 0)
			h := &ctypes.Health{Status: ctypes.Starting}
			for i, r := range c.results {
				old := *h
				next := c.s.judge(h, began, &ctypes.HealthcheckResult{Start: began.Add(time.Duration(r.at) * time.Second), ExitCode: r.code})
				if !reflect.DeepEqual(*h, old) {
					t.Fatal("the old health was changed: readers have it")
				}
				if h = next; h.Status != r.status || h.FailingStreak != r.streak {
					t.Errorf("after result %d: %s, %d", i, h.Status, h.FailingStreak)
				}
			}
		})
	}
}

func TestLogIsBounded(t *testing.T) {
	h := &ctypes.Health{}
	for code := range 9 {
		h = settings{retries: 3}.judge(h, time.Time{}, &ctypes.HealthcheckResult{ExitCode: code})
	}
	if len(h.Log) != 5 || h.Log[0].ExitCode != 4 || h.Log[4].ExitCode != 8 {
		t.Errorf("%d results, first %+v", len(h.Log), h.Log[0])
	}
	begun := Begun(&ctypes.Config{Healthcheck: &ctypes.HealthConfig{Test: []string{"CMD", "a"}}}, h)
	if begun.Status != ctypes.Starting || begun.FailingStreak != 0 || len(begun.Log) != 5 {
		t.Errorf("begun anew: %+v", begun)
	}
	if Begun(&ctypes.Config{}, h) != nil || Ceased(nil) != nil {
		t.Error("health without a check")
	}
}

func TestOutput(t *testing.T) {
	var o Output
	for range 5 {
		if n, err := o.Write([]byte(strings.Repeat("x", 1000))); n != 1000 || err != nil {
			t.Fatal(n, err)
		}
	}
	if got, want := o.String(), strings.Repeat("x", 4096)+"..."; got != want {
		t.Errorf("%d bytes kept", len(got))
	}
}

func TestFailed(t *testing.T) {
	check := &ctypes.HealthConfig{Test: []string{"CMD", "a"}, Retries: 2}
	ask := map[string]string{RestartLabel: "true"}
	for _, c := range []struct {
		name   string
		cfg    ctypes.Config
		health *ctypes.Health
		want   bool
	}{
		{"failed", ctypes.Config{Healthcheck: check, Labels: ask}, &ctypes.Health{Status: ctypes.Unhealthy, FailingStreak: 2}, true},
		{"did not ask", ctypes.Config{Healthcheck: check}, &ctypes.Health{Status: ctypes.Unhealthy, FailingStreak: 2}, false},
		{"asked not to", ctypes.Config{Healthcheck: check, Labels: map[string]string{RestartLabel: "false"}}, &ctypes.Health{FailingStreak: 2}, false},
		{"paused", ctypes.Config{Healthcheck: check, Labels: ask}, &ctypes.Health{Status: ctypes.Unhealthy, FailingStreak: 1}, false},
		{"no check", ctypes.Config{Labels: ask}, nil, false},
	} {
		if got := Failed(&c.cfg, container.Status{Health: c.health}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
