// Command berth-init is PID 1 of containers made with --init: berth-init [-g] -- COMMAND [ARG...].
//
// It runs COMMAND in a process group of its own, in the foreground of the terminal
// if there is one, passes it the signals that it gets, reaps what is orphaned in
// the container, and exits as COMMAND did: with its status, or 128+n after signal
// n; 127 when COMMAND is not found and 126 when it cannot be executed. With -g
// signals go to the whole group. That is what Docker's docker-init (tini) does, so
// that an image behaves the same here.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"unsafe"
)

// Exit statuses of shells, and of Docker, for what could not be run.
const (
	exitUsage      = 1
	exitCannotExec = 126
	exitNotFound   = 127
)

func main() {
	// First of all: what ends a program of Go ends it as PID 1 with status 2, and the
	// container is being stopped as soon as it runs. The child starts with the
	// dispositions that we were started with, since exec resets caught signals.
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	group, argv, err := parse(os.Args[1:])
	if err != nil {
		fail(exitUsage, err)
	}
	path, status, err := find(argv[0])
	if err != nil {
		fail(status, err)
	}
	if os.Getpid() != 1 {
		becomeSubreaper()
	}
	pid, err := syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2}, // others that are not close-on-exec stay open
		Sys:   &syscall.SysProcAttr{Setpgid: true, Foreground: controlsTerminal(), Ctty: 0},
	})
	if err != nil {
		fail(statusOf(err), fmt.Errorf("exec %s: %w", path, err))
	}
	os.Exit(serve(pid, group, signals))
}

func fail(status int, err error) {
	fmt.Fprintln(os.Stderr, "berth-init:", err)
	os.Exit(status)
}

// parse takes the arguments apart; argv has one element at least.
func parse(args []string) (group bool, argv []string, err error) {
	for len(args) > 0 {
		switch a := args[0]; {
		case a == "--":
			args = args[1:]
		case a == "-g":
			group, args = true, args[1:]
			continue
		case len(a) > 1 && a[0] == '-':
			return false, nil, fmt.Errorf("unknown option %s", a)
		}
		break
	}
	if len(args) == 0 {
		return false, nil, errors.New("usage: berth-init [-g] -- COMMAND [ARG...]")
	}
	return group, args, nil
}

// find looks for the command as execvp(3) does.
func find(command string) (path string, status int, err error) {
	path, err = exec.LookPath(command)
	if err != nil && !errors.Is(err, exec.ErrDot) { // a "." in PATH is the image's business
		return "", statusOf(err), err
	}
	return path, 0, nil
}

func statusOf(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return exitNotFound
	}
	return exitCannotExec
}

// serve passes signals on and reaps until the child pid has exited, and says with
// which status to exit.
func serve(pid int, group bool, signals <-chan os.Signal) int {
	target := pid
	if group {
		target = -pid
	}
	for s := range signals {
		sig, ok := s.(syscall.Signal)
		switch {
		case sig == syscall.SIGCHLD:
			if status, exited := reap(pid); exited {
				return status
			}
		case ok && forwarded(sig):
			// ESRCH: it has exited, and SIGCHLD is on its way.
			_ = syscall.Kill(target, sig)
		}
	}
	return exitUsage // not reached: signals is never closed
}

// forwarded reports whether a signal that we got is meant for the child. Faults
// are our own, the terminal's job control too, and Go's scheduler sends SIGURG.
func forwarded(s syscall.Signal) bool {
	switch s {
	case syscall.SIGFPE, syscall.SIGILL, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGABRT, syscall.SIGTRAP, syscall.SIGSYS,
		syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGURG:
		return false
	}
	return true
}

// reap waits for all that has exited; one SIGCHLD may stand for many.
func reap(child int) (status int, exited bool) {
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if pid <= 0 || err != nil {
			return status, exited
		}
		if pid == child {
			exited = true
			if status = ws.ExitStatus(); ws.Signaled() {
				status = 128 + int(ws.Signal())
			}
		}
	}
}

// controlsTerminal reports whether stdin is the terminal of our session, whose
// foreground the child then takes.
func controlsTerminal() bool {
	var pgrp int32
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, 0, syscall.TIOCGPGRP, uintptr(unsafe.Pointer(&pgrp))) //nolint:gosec // the kernel writes a pid_t
	return errno == 0
}

// becomeSubreaper makes orphans ours when we are not PID 1 (--pid=host): PR_SET_CHILD_SUBREAPER.
func becomeSubreaper() {
	const prSetChildSubreaper = 36
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0)
}
