package seccomp

import "slices"

// A muxCall says by which system call of x86 another can be made, whose first
// argument has the number: socketcall (linux/net.h) or ipc (linux/ipc.h).
type muxCall struct {
	by     string
	number uint64
}

var muxCalls = map[string]muxCall{
	"socket": {"socketcall", 1}, "bind": {"socketcall", 2}, "connect": {"socketcall", 3},
	"listen": {"socketcall", 4}, "accept": {"socketcall", 5}, "getsockname": {"socketcall", 6},
	"getpeername": {"socketcall", 7}, "socketpair": {"socketcall", 8}, "send": {"socketcall", 9},
	"recv": {"socketcall", 10}, "sendto": {"socketcall", 11}, "recvfrom": {"socketcall", 12},
	"shutdown": {"socketcall", 13}, "setsockopt": {"socketcall", 14}, "getsockopt": {"socketcall", 15},
	"sendmsg": {"socketcall", 16}, "recvmsg": {"socketcall", 17}, "accept4": {"socketcall", 18},
	"recvmmsg": {"socketcall", 19}, "sendmmsg": {"socketcall", 20},

	"semop": {"ipc", 1}, "semget": {"ipc", 2}, "semctl": {"ipc", 3}, "semtimedop": {"ipc", 4},
	"msgsnd": {"ipc", 11}, "msgrcv": {"ipc", 12}, "msgget": {"ipc", 13}, "msgctl": {"ipc", 14},
	"shmat": {"ipc", 21}, "shmdt": {"ipc", 22}, "shmget": {"ipc", 23}, "shmctl": {"ipc", 24},
}

// multiplexed returns what a rule for, say, socket means for x86's socketcall,
// and that one's row; ok if there is anything.
//
// The arguments of the call that is meant are out of a filter's sight, in memory
// or shifted. A condition for the first gives way to that for the call's number,
// as with libseccomp: profiles that let only some address families through
// socket have never held x86's socketcall. Conditions for other arguments
// libseccomp applies to what the multiplexer has in their place. Here such a rule
// counts for all calls if it is stricter than the filter's default, and for none
// if it is not.
func (f *ScmpFilter) multiplexed(row int, r rule) (target int, muxed rule, ok bool) {
	call, ok := muxCalls[syscalls[row].name]
	if !ok || !slices.Contains(f.archs, ArchX86) {
		return 0, rule{}, false
	}
	others := slices.ContainsFunc(r.conds, func(c ScmpCondition) bool { return c.Argument > 0 })
	if others && rank(r.verdict) > rank(f.fallback) {
		return 0, rule{}, false
	}
	// The multiplexers have numbers on x86 only: nothing else sees the rule.
	target, ok = rowOf(call.by)
	return target, rule{r.verdict, []ScmpCondition{{Op: CompareEqual, Operand1: call.number}}}, ok
}
