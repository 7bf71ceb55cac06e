package integration

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestNoDaemon asks nobody: the error names the socket that was tried and the
// command that starts a daemon there.
func TestNoDaemon(t *testing.T) {
	t.Parallel()
	socket := "unix://" + t.TempDir() + "/nobody.sock"
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"ps"}, 1}, {[]string{"images"}, 1}, {[]string{"info"}, 1}, {[]string{"run", "--rm", image}, 125},
	} {
		for _, by := range []string{"DOCKER_HOST", "flag"} {
			args := c.args
			env := []string{"DOCKER_HOST=" + socket}
			if by == "flag" {
				args, env = append([]string{"-H", socket}, args...), nil
			}
			code, _, stderr := berth(t, env, args...)
			if code != c.code || !strings.Contains(stderr, "Cannot connect to the Berth daemon at "+socket) || !strings.Contains(stderr, "berthd -H "+socket) {
				t.Errorf("berth %s: code %d: %s", strings.Join(args, " "), code, stderr)
			}
		}
	}
	code, stdout, _ := berth(t, []string{"DOCKER_HOST=" + socket}, "version")
	if code != 1 || !strings.Contains(stdout, "Client: Berth") {
		t.Errorf("berth version without a daemon: code %d: %s", code, stdout)
	}
}

// TestHelp speaks of Berth, at the top and below.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"help"}, {}, {"run", "--help"}, {"image", "--help"}, {"help", "exec"}} {
		_, stdout, stderr := berth(t, nil, args...)
		text := stdout + stderr
		if !strings.Contains(text, "Usage:  berth") {
			t.Errorf("berth %s: %s", strings.Join(args, " "), text)
		}
		if strings.Contains(text, "docker ") {
			t.Errorf("berth %s speaks of docker: %s", strings.Join(args, " "), text)
		}
	}
	if _, stdout, _ := berth(t, nil, "--version"); !strings.HasPrefix(stdout, "Berth version ") {
		t.Errorf("berth --version: %q", stdout)
	}
}

// berth runs our client without a daemon of the test's.
func berth(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	var out, err strings.Builder
	cmd := exec.CommandContext(ctx, harness.BerthCLI(), args...)
	cmd.Env = append(append(os.Environ(), "DOCKER_CONFIG="+t.TempDir()), env...)
	cmd.Stdout, cmd.Stderr = &out, &err
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String(), err.String()
}

// TestContexts reaches the daemon by a context, and a host given beats it.
func TestContexts(t *testing.T) {
	t.Parallel()
	d := harness.Start(t, harness.Options{})
	env := []string{"DOCKER_CONFIG=" + d.Root + "/contexts", "DOCKER_HOST="}
	do := func(args ...string) (int, string, string) { t.Helper(); return berth(t, env, args...) }
	if code, _, stderr := do("context", "create", "here", "--docker", "host=unix://"+d.Socket); code != 0 {
		t.Fatal(stderr)
	}
	for _, args := range [][]string{{"--context", "here", "ps", "-q"}, {"context", "use", "here"}, {"ps", "-q"}} {
		if code, _, stderr := do(args...); code != 0 {
			t.Errorf("berth %s: %s", strings.Join(args, " "), stderr)
		}
	}
	if code, _, stderr := do("-H", "unix:///nobody.sock", "ps"); code == 0 || !strings.Contains(stderr, "unix:///nobody.sock") {
		t.Errorf("a host beside the context: code %d: %s", code, stderr)
	}
}

// berthd runs a daemon that is expected to end by itself.
func berthd(t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, harness.Bin()+"/berthd", args...)
	out, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(out)
}
