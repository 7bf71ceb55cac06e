package supervise

import (
	"strings"
	"syscall"

	"github.com/containerd/errdefs"
)

// Exit codes of a container that did not start (Docker reference, "exit status").
const (
	exitNotFound      = 127 // the command does not exist
	exitNotExecutable = 126 // it cannot be invoked
	exitEngine        = 128 // anything else
)

const startFailed = "failed to create task for container: "

// StartError gives a failed start's exit code, and its message as Docker words
// it. The runtime reports only text, so text is all there is to go by: these are
// the errno strings of execve(2) and runc's own look-up in PATH.
func StartError(err error) (int, error) {
	text := err.Error()
	code, hint := exitEngine, ""
	switch {
	case strings.Contains(text, syscall.ENOTDIR.Error()):
		code = exitNotFound
		hint = ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type"
	case containsAny(text, "executable file not found", "no such file or directory", "system cannot find the file specified"):
		code = exitNotFound
	case containsAny(text, "is a directory"):
		code = exitNotExecutable
		hint = ": " + syscall.EACCES.Error() // docker's CLI looks for these words to end with 126
	case containsAny(text, "permission denied", "exec format error"):
		code = exitNotExecutable
	}
	if !strings.Contains(text, "OCI runtime") {
		return code, err // ours: it has its class and words already
	}
	message := startFailed + text + hint
	if code == exitEngine {
		return code, errdefs.ErrUnknown.WithMessage(message)
	}
	return code, errdefs.ErrInvalidArgument.WithMessage(message)
}

// ExecError does so for a further process.
func ExecError(err error) (int, error) {
	if text := err.Error(); !strings.Contains(text, "OCI runtime") {
		return exitNotExecutable, err // Docker's code for what did not come so far
	}
	code, worded := StartError(err)
	text := strings.TrimPrefix(worded.Error(), startFailed)
	if code == exitEngine {
		return code, errdefs.ErrUnknown.WithMessage(text)
	}
	return code, errdefs.ErrInvalidArgument.WithMessage(text)
}

func containsAny(text string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}
