package seccomp

import (
	"fmt"
	"sync"
	"syscall"
	"unsafe"
)

// Levels of GetAPI, of seccomp_api_get(3).
const (
	apiSyscall      = 1 // the system call seccomp
	apiTsync        = 2 // the flag TSYNC
	apiLog          = 3 // the flag LOG, the actions LOG and KILL_PROCESS
	apiSpecAllow    = 4 // the flag SPEC_ALLOW
	apiNotify       = 5 // the flag NEW_LISTENER, the action USER_NOTIF
	apiTsyncESRCH   = 6 // the flag TSYNC_ESRCH, and with it both of the above
	apiWaitKillable = 7 // the flag WAIT_KILLABLE_RECV
)

// Operations and flags of seccomp(2), of linux/seccomp.h.
const (
	seccompSetModeFilter  = 1
	seccompGetActionAvail = 2

	flagTsync            = 1 << 0
	flagLog              = 1 << 1
	flagSpecAllow        = 1 << 2
	flagNewListener      = 1 << 3
	flagTsyncESRCH       = 1 << 4
	flagWaitKillableRecv = 1 << 5
)

// VersionError says that the kernel is too old for what was asked.
type VersionError struct {
	what         string
	need, kernel uint // levels of GetAPI
}

func (e VersionError) Error() string {
	return fmt.Sprintf("seccomp: the kernel lacks %s: API level %d, it has %d", e.what, e.need, e.kernel)
}

// GetAPI returns what the kernel can do, as a level of seccomp_api_get(3) from
// 0 to 7. The error is always nil.
func GetAPI() (uint, error) { return kernelAPI(), nil }

// GetLibraryVersion returns zeros: this is not libseccomp, and what reports its
// version shall not report one.
func GetLibraryVersion() (major, minor, micro uint) { return 0, 0, 0 }

// needAPI returns a *VersionError where the kernel's level is below the given.
func needAPI(level uint, what string) error {
	if level == 0 {
		return nil
	}
	if has := kernelAPI(); has < level {
		return &VersionError{what: what, need: level, kernel: has}
	}
	return nil
}

var kernelAPI = sync.OnceValue(func() uint {
	nr, err := GetSyscallFromName("seccomp")
	if err != nil || nr < 0 {
		return 0
	}
	trap := uintptr(nr)
	steps := []struct {
		level   uint
		flags   uintptr
		actions []uint32
	}{
		{apiSyscall, 0, nil},
		{apiTsync, flagTsync, nil},
		{apiLog, flagLog, []uint32{retLog, retKillProcess}},
		{apiSpecAllow, flagSpecAllow, nil},
		{apiNotify, flagNewListener, []uint32{retNotify}},
		{apiTsyncESRCH, flagTsync | flagNewListener | flagTsyncESRCH, nil},
		{apiWaitKillable, flagNewListener | flagWaitKillableRecv, nil},
	}
	level := uint(0)
	for _, s := range steps {
		if !flagsKnown(trap, s.flags) {
			return level
		}
		for _, action := range s.actions {
			if !actionKnown(trap, action) {
				return level
			}
		}
		level = s.level
	}
	return level
})

// flagsKnown asks the kernel to load a filter from nowhere: it looks at the flags
// first (EINVAL) and at the address then (EFAULT).
func flagsKnown(trap, flags uintptr) bool {
	_, _, errno := syscall.RawSyscall(trap, seccompSetModeFilter, flags, 0)
	return errno == syscall.EFAULT
}

func actionKnown(trap uintptr, action uint32) bool {
	_, _, errno := syscall.RawSyscall(trap, seccompGetActionAvail, 0, uintptr(unsafe.Pointer(&action)))
	return errno == 0
}
