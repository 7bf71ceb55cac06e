package seccomp

import (
	"fmt"
	"slices"
)

// A multiplexer is a system call of x86 whose first argument says which one is
// meant: socketcall (linux/net.h) and ipc (linux/ipc.h).
type multiplexer struct {
	name  string
	calls map[string]uint64
}

var multiplexers = [...]multiplexer{
	{"socketcall", map[string]uint64{
		"socket": 1, "bind": 2, "connect": 3, "listen": 4, "accept": 5, "getsockname": 6,
		"getpeername": 7, "socketpair": 8, "send": 9, "recv": 10, "sendto": 11, "recvfrom": 12,
		"shutdown": 13, "setsockopt": 14, "getsockopt": 15, "sendmsg": 16, "recvmsg": 17,
		"accept4": 18, "recvmmsg": 19, "sendmmsg": 20,
	}},
	{"ipc", map[string]uint64{
		"semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4, "msgsnd": 11, "msgrcv": 12,
		"msgget": 13, "msgctl": 14, "shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24,
	}},
}

// addMultiplexed adds to a rule for, say, socket what it means for x86's
// socketcall.
func (f *ScmpFilter) addMultiplexed(row int, r rule) error {
	if !slices.Contains(f.archs, ArchX86) {
		return nil
	}
	for _, m := range multiplexers {
		call, ok := m.calls[syscalls[row].name]
		if !ok {
			continue
		}
		muxed, ok := f.multiplexed(r, call)
		if !ok {
			return nil
		}
		target, ok := rowOf(m.name)
		if !ok {
			return fmt.Errorf("seccomp: the system call %s is missing in the table", m.name)
		}
		// The multiplexers have numbers on x86 only: nothing else sees the rule.
		if err := f.rules[target].add(muxed); err != nil {
			return fmt.Errorf("for %s of x86: %w", m.name, err)
		}
		return nil
	}
	return nil
}

// multiplexed returns the rule for a multiplexer, ok if there is one.
//
// The arguments of the call that is meant are out of a filter's sight, in memory
// or shifted. A condition for the first gives way to that for the call's number,
// as with libseccomp: profiles that let only some address families through
// socket have never held x86's socketcall. Conditions for other arguments
// libseccomp applies to what the multiplexer has in their place. Here such a rule
// counts for all calls if it is stricter than the filter's default, and for none
// if it is not.
func (f *ScmpFilter) multiplexed(r rule, call uint64) (muxed rule, ok bool) {
	others := slices.ContainsFunc(r.conds, func(c ScmpCondition) bool { return c.Argument > 0 })
	if others && rank(r.verdict) > rank(f.fallback) {
		return rule{}, false
	}
	return rule{r.verdict, []ScmpCondition{{Op: CompareEqual, Operand1: call}}}, true
}
