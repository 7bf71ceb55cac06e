// Package supervise decides and orders what happens to a container: the owner
// goroutine that everything about one container goes through, and the restart
// policy as a pure function.
package supervise

import (
	"time"

	ctypes "github.com/moby/moby/api/types/container"
)

// Docker's back-off (Docker documentation, "Start containers automatically").
const (
	FirstDelay = 100 * time.Millisecond
	MaxDelay   = time.Minute
	StableFor  = 10 * time.Second // up for so long, a container begins anew with FirstDelay
)

// Exit is what the restart decision depends on.
type Exit struct {
	Code     int
	ByHand   bool          // stopped or killed by a user
	Uptime   time.Duration // of the run that ended
	Restarts int           // made since the last start by a user
	Previous time.Duration // delay before that run; 0 for a start by a user
}

// Decide says whether the policy restarts a container after an exit, and after
// which delay.
func Decide(p ctypes.RestartPolicy, e Exit) (delay time.Duration, restart bool) {
	if e.ByHand {
		return 0, false
	}
	switch p.Name {
	case ctypes.RestartPolicyAlways, ctypes.RestartPolicyUnlessStopped:
	case ctypes.RestartPolicyOnFailure:
		if e.Code == 0 || p.MaximumRetryCount > 0 && e.Restarts >= p.MaximumRetryCount {
			return 0, false
		}
	default:
		return 0, false
	}
	if e.Previous == 0 || e.Uptime >= StableFor {
		return FirstDelay, true
	}
	return min(2*e.Previous, MaxDelay), true
}

// AtBoot says whether a container that is not running when the daemon starts
// is to be started: one that always restarts even when it was stopped by hand,
// one that restarts unless stopped if it was not, and one that failed.
func AtBoot(p ctypes.RestartPolicy, everStarted bool, e Exit) bool {
	switch {
	case !everStarted:
		return false
	case p.Name == ctypes.RestartPolicyAlways:
		return true
	}
	_, restart := Decide(p, e)
	return restart
}
