package supervise

import (
	"testing"
	"time"

	ctypes "github.com/moby/moby/api/types/container"
)

func TestDecide(t *testing.T) {
	const no, always, unless, failure = ctypes.RestartPolicyDisabled, ctypes.RestartPolicyAlways, ctypes.RestartPolicyUnlessStopped, ctypes.RestartPolicyOnFailure
	for _, c := range []struct {
		name    string
		policy  ctypes.RestartPolicyMode
		max     int
		exit    Exit
		delay   time.Duration
		restart bool
	}{
		{"no", no, 0, Exit{Code: 1}, 0, false},
		{"unset", "", 0, Exit{Code: 1}, 0, false},
		{"always, success", always, 0, Exit{}, FirstDelay, true},
		{"always, by hand", always, 0, Exit{ByHand: true}, 0, false},
		{"unless-stopped, failure", unless, 0, Exit{Code: 1}, FirstDelay, true},
		{"unless-stopped, by hand", unless, 0, Exit{ByHand: true}, 0, false},
		{"on-failure, success", failure, 0, Exit{}, 0, false},
		{"on-failure, failure", failure, 0, Exit{Code: 1, Restarts: 1000, Previous: FirstDelay}, 2 * FirstDelay, true},
		{"on-failure, last try", failure, 3, Exit{Code: 1, Restarts: 2, Previous: FirstDelay}, 2 * FirstDelay, true},
		{"on-failure, tries used up", failure, 3, Exit{Code: 1, Restarts: 3, Previous: FirstDelay}, 0, false},
		{"doubling", always, 0, Exit{Previous: 400 * time.Millisecond}, 800 * time.Millisecond, true},
		{"at most a minute", always, 0, Exit{Previous: 40 * time.Second}, MaxDelay, true},
		{"almost stable", always, 0, Exit{Previous: time.Second, Uptime: StableFor - 1}, 2 * time.Second, true},
		{"stable", always, 0, Exit{Previous: time.Second, Uptime: StableFor}, FirstDelay, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			delay, restart := Decide(ctypes.RestartPolicy{Name: c.policy, MaximumRetryCount: c.max}, c.exit)
			if delay != c.delay || restart != c.restart {
				t.Errorf("got %s, %v; want %s, %v", delay, restart, c.delay, c.restart)
			}
		})
	}
}

func TestAtBoot(t *testing.T) {
	for _, c := range []struct {
		name    string
		policy  ctypes.RestartPolicyMode
		started bool
		exit    Exit
		want    bool
	}{
		{"never started", ctypes.RestartPolicyAlways, false, Exit{}, false},
		{"always, stopped by hand", ctypes.RestartPolicyAlways, true, Exit{ByHand: true}, true},
		{"unless-stopped, stopped by hand", ctypes.RestartPolicyUnlessStopped, true, Exit{ByHand: true}, false},
		{"unless-stopped, ended", ctypes.RestartPolicyUnlessStopped, true, Exit{}, true},
		{"on-failure, success", ctypes.RestartPolicyOnFailure, true, Exit{}, false},
		{"on-failure, failure", ctypes.RestartPolicyOnFailure, true, Exit{Code: 255}, true},
		{"no", ctypes.RestartPolicyDisabled, true, Exit{Code: 1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := AtBoot(ctypes.RestartPolicy{Name: c.policy}, c.started, c.exit); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
