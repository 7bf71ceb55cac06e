package seccomp

import "fmt"

// ScmpAction is what happens to a system call: a kind in the low 16 bits, the
// code of SetReturnCode above it.
type ScmpAction uint

// Kinds of action; the zero value is none.
const (
	ActInvalid     ScmpAction = iota
	ActKillThread             // the thread ends with SIGSYS
	ActTrap                   // the thread gets a SIGSYS that it can handle
	ActNotify                 // a supervisor decides
	ActErrno                  // the call fails with the code as errno
	ActTrace                  // a tracer gets the code and decides
	ActAllow                  // the call is made
	ActLog                    // the call is logged and made
	ActKillProcess            // the process ends with SIGSYS
)

// Values that a filter returns, of linux/seccomp.h.
const (
	retKillProcess = 0x80000000
	retKillThread  = 0x00000000
	retTrap        = 0x00030000
	retErrno       = 0x00050000
	retNotify      = 0x7fc00000
	retTrace       = 0x7ff00000
	retLog         = 0x7ffc0000
	retAllow       = 0x7fff0000

	retActionMask = 0xffff0000
)

const (
	actionKindMask ScmpAction = 0xffff
	actionCodeBits            = 16
)

// SetReturnCode returns the action with a code: the errno of ActErrno (0 to
// 4095 for the kernel, more counts as 4095), what the tracer sees of ActTrace.
// Other actions have no code and are returned as they are.
func (a ScmpAction) SetReturnCode(code int16) ScmpAction {
	kind := a & actionKindMask
	if kind == ActErrno || kind == ActTrace {
		return kind | ScmpAction(uint16(code))<<actionCodeBits
	}
	return a
}

// verdict is the 32-bit value by which a filter tells the kernel the action.
func (a ScmpAction) verdict() (uint32, error) {
	code := uint32(a>>actionCodeBits) & 0xffff
	switch a & actionKindMask {
	case ActKillThread:
		return retKillThread, nil
	case ActKillProcess:
		return retKillProcess, nil
	case ActTrap:
		return retTrap, nil
	case ActErrno:
		return retErrno | code, nil
	case ActNotify:
		return retNotify, nil
	case ActTrace:
		return retTrace | code, nil
	case ActLog:
		return retLog, nil
	case ActAllow:
		return retAllow, nil
	}
	return 0, fmt.Errorf("seccomp: unknown action %#x", uint(a))
}

// rank orders verdicts as the kernel does among several filters: the lowest is
// the strictest and wins (Documentation/userspace-api/seccomp_filter.rst).
func rank(verdict uint32) int32 { return int32(verdict & retActionMask) }

// neededAPI is the level of GetAPI from which on the kernel knows the action.
func (a ScmpAction) neededAPI() uint {
	switch a & actionKindMask {
	case ActLog, ActKillProcess:
		return apiLog
	case ActNotify:
		return apiNotify
	}
	return 0
}
