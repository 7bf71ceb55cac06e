package container

import (
	"fmt"
	"time"

	ctypes "github.com/moby/moby/api/types/container"
)

// State is one of Docker's seven. Being one value, it cannot say that a
// container is both paused and exited; the API's booleans are derived from it.
type State string

// The states of a container.
const (
	Created    State = "created"
	Running    State = "running"
	Paused     State = "paused"
	Restarting State = "restarting" // waiting for its restart delay to pass
	Removing   State = "removing"
	Exited     State = "exited"
	Dead       State = "dead" // its removal failed
)

// next lists the states that may follow each.
var next = map[State][]State{
	Created:    {Running, Created, Restarting, Removing},
	Running:    {Paused, Restarting, Exited},
	Paused:     {Running, Restarting, Exited},
	Restarting: {Running, Restarting, Exited},
	Exited:     {Running, Exited, Restarting, Removing},
	Removing:   {Dead},
	Dead:       {Removing},
}

// Exit is how an init process ended.
type Exit struct {
	Code int
	At   time.Time
}

// Status is what became of the container. It is a value: transitions return
// the status that follows.
type Status struct {
	State        State
	Pid          int // of the init process; 0 when nothing runs
	ExitCode     int
	Error        string // of the last start that failed
	OOMKilled    bool
	StartedAt    time.Time
	FinishedAt   time.Time
	RestartCount int
	// ByHand says that a user stopped it: the intent that unless-stopped
	// containers keep across daemon starts.
	ByHand  bool
	Sandbox Sandbox
	// Held says that it is paused, or about to be, for somebody who looks at its
	// files, and not by a user: with berthd's end that reason is gone.
	Held bool `json:",omitempty"`
	// Ending is the exit of the process while its task is taken down. It is on
	// disk before the task is deleted, because with the task containerd forgets
	// the exit code.
	Ending *Exit `json:",omitempty"`
	// Health is what its probes found; nil without a health check. It is shared:
	// who changes it replaces it.
	Health *ctypes.Health `json:",omitempty"`
	// Stops counts its exits, so that a waiter that slept through a quick stop
	// and start, or a restart, still notices.
	Stops uint64 `json:"-"`
}

// to moves to a state, or panics: that a transition is allowed is checked by
// the caller's guard, so a wrong one is a bug in this package.
func (s Status) to(state State) Status {
	for _, allowed := range next[s.State] {
		if allowed == state {
			s.State = state
			return s
		}
	}
	panic(fmt.Sprintf("container: %s cannot become %s", s.State, state))
}

// Live says whether a task exists, running or paused.
func (s Status) Live() bool { return s.State == Running || s.State == Paused }

// Active says whether Docker's API calls it running: also while it waits to be
// restarted.
func (s Status) Active() bool { return s.Live() || s.State == Restarting }

// Gone says whether it is on its way out.
func (s Status) Gone() bool { return s.State == Removing || s.State == Dead }

// Started follows a successful start.
func (s Status) Started(pid int, at time.Time, sandbox Sandbox) Status {
	s = s.to(Running)
	s.Pid, s.StartedAt, s.Sandbox = pid, at, sandbox
	s.ExitCode, s.Error, s.OOMKilled, s.Ending, s.Held = 0, "", false, nil, false
	return s
}

// Ended follows the exit of the init process, when it will not be restarted.
func (s Status) Ended(exit Exit) Status {
	s = s.to(Exited)
	s = s.rested(exit)
	s.Stops++
	return s
}

// Retrying follows an exit, or a start that failed, when a restart is due.
func (s Status) Retrying(exit Exit) Status {
	if s.Live() {
		s.Stops++
	}
	s = s.to(Restarting)
	s = s.rested(exit)
	s.RestartCount++
	return s
}

// rested clears what only a live container has.
func (s Status) rested(exit Exit) Status {
	s.Pid, s.Sandbox, s.Ending, s.Held = 0, Sandbox{}, nil, false
	s.ExitCode, s.FinishedAt = exit.Code, exit.At
	return s
}

// Failed follows a start that did not succeed and is not tried again. The
// state stays what it was, as Docker has it.
func (s Status) Failed(code int, message string) Status {
	if s.State == Restarting {
		s = s.to(Exited)
		s.Stops++
	}
	s.Pid, s.ExitCode, s.Error, s.Sandbox = 0, code, message, Sandbox{}
	return s
}

// Suspended and Resumed follow pause and unpause.
func (s Status) Suspended() Status { return s.to(Paused) }

// Resumed follows unpause.
func (s Status) Resumed() Status {
	s.Held = false
	return s.to(Running)
}

// Leaving marks the removal; Stuck a removal that failed.
func (s Status) Leaving() Status { return s.to(Removing) }

// Stuck marks a removal that failed.
func (s Status) Stuck(message string) Status {
	s = s.to(Dead)
	s.Error = message
	return s
}

// API gives Docker's form of the status. Zero times print as Docker's.
func (s Status) API() *ctypes.State {
	return &ctypes.State{
		Status:     ctypes.ContainerState(s.State),
		Running:    s.Active(),
		Paused:     s.State == Paused,
		Restarting: s.State == Restarting,
		OOMKilled:  s.OOMKilled,
		Dead:       s.State == Dead,
		Pid:        s.Pid,
		ExitCode:   s.ExitCode,
		Error:      s.Error,
		StartedAt:  s.StartedAt.UTC().Format(time.RFC3339Nano),
		FinishedAt: s.FinishedAt.UTC().Format(time.RFC3339Nano),
		Health:     s.Health,
	}
}
