package seccomp

import (
	"errors"
	"slices"
	"strings"
	"sync"
)

// ScmpSyscall is the number of a system call. Negative ones stand for calls
// that an architecture lacks and others have; which they are is this package's
// affair.
type ScmpSyscall int32

// ErrSyscallDoesNotExist is the error for a name that no architecture knows.
var ErrSyscallDoesNotExist = errors.New("could not resolve syscall name")

// A syscallRow has the numbers of a system call, -1 where there is none.
type syscallRow struct {
	name    string
	numbers [columnCount]int32
}

// firstPseudo is the number for the table's first row where that has none; the
// next rows count down from it. -1 is what tracers put in for "no call", and
// numbers shortly below zero have meanings in libseccomp.
const firstPseudo = -10000

// GetSyscallFromName returns the number of a system call on the native
// architecture, a negative one if only others have it, or
// ErrSyscallDoesNotExist.
func GetSyscallFromName(name string) (ScmpSyscall, error) {
	return GetSyscallFromNameByArch(name, ArchNative)
}

// GetSyscallFromNameByArch is GetSyscallFromName for any architecture that has
// a table; x32's numbers have bit 30 set.
//
// As with libseccomp, the calls of sockets and of System V IPC have negative
// numbers on x86, where multiplexers were there before they had numbers of
// their own; rules are about both.
func GetSyscallFromNameByArch(name string, arch ScmpArch) (ScmpSyscall, error) {
	a, err := abiOf(arch)
	if err != nil {
		return 0, err
	}
	row, ok := rowOf(name)
	if !ok {
		return 0, ErrSyscallDoesNotExist
	}
	nr := syscalls[row].numbers[a.column]
	if _, muxed := muxCalls[name]; nr >= 0 && !(muxed && a.column == columnX86) {
		return ScmpSyscall(nr), nil
	}
	return ScmpSyscall(firstPseudo - row), nil
}

// rowOf finds a name in the table.
func rowOf(name string) (row int, ok bool) {
	return slices.BinarySearchFunc(syscalls[:], name, func(r syscallRow, name string) int {
		return strings.Compare(r.name, name)
	})
}

// nativeRows maps the native numbers to rows of the table.
var nativeRows = sync.OnceValues(func() (map[int32]int, error) {
	a, err := abiOf(ArchNative)
	if err != nil {
		return nil, err
	}
	rows := make(map[int32]int, len(syscalls))
	for i, row := range syscalls {
		if nr := row.numbers[a.column]; nr >= 0 {
			rows[nr] = i
		}
	}
	return rows, nil
})

// row is the inverse of GetSyscallFromName.
func (s ScmpSyscall) row() (row int, ok bool) {
	if s < 0 {
		row = firstPseudo - int(s)
		return row, row >= 0 && row < len(syscalls)
	}
	rows, err := nativeRows()
	if err != nil {
		return 0, false
	}
	row, ok = rows[int32(s)]
	return row, ok
}
