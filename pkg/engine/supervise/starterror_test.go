package supervise

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestStartErrors(t *testing.T) {
	const create = "OCI runtime create failed: runc create failed: unable to start container process: "
	for _, c := range []struct {
		name, text string
		code, exec int
		contains   string
		invalid    bool
	}{
		{"no such command", create + `exec: "x": executable file not found in $PATH`, 127, 127, "", true},
		{"no such folder", create + `chdir to cwd ("/x") set in config.json failed: no such file or directory`, 127, 127, "", true},
		{"not executable", create + `exec: "/x": permission denied`, 126, 126, "", true},
		{"a folder", create + `exec: "/etc": is a directory`, 126, 126, "is a directory: permission denied", true},
		{"a folder over a file", create + "mounting /a to /b: not a directory", 127, 127, "Are you trying to mount a directory onto a file", true},
		{"something else", create + "procReady not received", 128, 128, "", false},
		{"before the runtime", "unable to find user x: no matching entries in passwd file", 128, 126, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			start, err := StartError(errors.New(c.text))
			if ours := !strings.Contains(c.text, "OCI"); start != c.code || errdefs.IsInvalidArgument(err) != c.invalid ||
				strings.HasPrefix(err.Error(), startFailed) == ours || !strings.Contains(err.Error(), c.contains) {
				t.Errorf("start: %d, %v", start, err)
			}
			exec, err := ExecError(errors.New(c.text))
			if exec != c.exec || !strings.HasPrefix(err.Error(), c.text) || errdefs.IsInvalidArgument(err) != c.invalid {
				t.Errorf("exec: %d, %v", exec, err)
			}
		})
	}
}
