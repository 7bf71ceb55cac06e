package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// counting prints numbers from 1 on; what has started anew begins again.
const counting = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"

// TestCheckpoints has CRIU dump processes of containers and go on with them, through
// both clients.
func TestCheckpoints(t *testing.T) {
	t.Parallel()
	path := "PATH=" + filepath.Join(harness.Bin(), "tools", "criu") + ":" + os.Getenv("PATH")
	for name, client := range clients(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := start(t, harness.Options{Flags: []string{"--experimental"}, Env: []string{path}})
			run := func(args ...string) harness.Result { return d.Client(client, nil, args...) }
			last := func() int {
				t.Helper()
				n, err := strconv.Atoi(run("logs", "-n", "1", "box").OK(t))
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			run("run", "-d", "--name", "box", image, "sh", "-c", counting).OK(t)
			await(t, "it counts", func() bool { return strings.Contains(run("logs", "box").Stdout, "10\n") })
			if got := run("checkpoint", "create", "box", "one").OK(t); got != "one" {
				t.Errorf("create says %q", got)
			}
			awaitState(t, d, "box", "exited")
			reached := last()

			// It goes on, also after the daemon's death.
			d.Kill()
			d.Run(path)
			run("start", "--checkpoint", "one", "box").OK(t)
			await(t, "it counts on", func() bool { return last() > reached })
			if log := run("logs", "box").OK(t); strings.Count("\n"+log, "\n1\n") != 1 {
				t.Errorf("it began again: %q", log)
			}
			if got := run("exec", "box", "echo", "alive").OK(t); got != "alive" {
				t.Errorf("exec gave %q", got)
			}

			elsewhere := t.TempDir()
			run("checkpoint", "create", "--leave-running", "--checkpoint-dir", elsewhere, "box", "two").OK(t)
			awaitState(t, d, "box", "running")
			for dir, want := range map[string]string{"": "one", elsewhere: "two"} {
				args := []string{"checkpoint", "ls", "box"}
				if dir != "" {
					args = append(args, "--checkpoint-dir", dir)
				}
				if got := strings.Fields(run(args...).OK(t)); got[len(got)-1] != want {
					t.Errorf("in %q are %q", dir, got)
				}
			}
			run("checkpoint", "create", "box", "one").Fails(t, 1, "checkpoint with name one already exists for container box")
			run("checkpoint", "rm", "box", "one").OK(t)
			run("checkpoint", "rm", "box", "one").Fails(t, 1, "checkpoint one does not exist for container box")
			run("kill", "box").OK(t)
			run("wait", "box").OK(t)
			run("start", "--checkpoint", "one", "box").Fails(t, 1, "checkpoint one does not exist for container box")
			run("checkpoint", "create", "box", "three").Fails(t, 1, "is not running")
			run("rm", "box").OK(t)

			// What is published is reached again.
			run("run", "-d", "--name", "web", "-p", "127.0.0.1::80", image, "httpd", "-f", "-h", "/var/www").OK(t)
			s := script{t, d, client}
			s.fetch("http://" + run("port", "web", "80").OK(t) + "/")
			run("checkpoint", "create", "web", "first").OK(t)
			run("start", "--checkpoint", "first", "web").OK(t)
			if body := s.fetch("http://" + run("port", "web", "80").OK(t) + "/"); !strings.Contains(body, "<") {
				t.Errorf("the web server answered %q", body)
			}
			run("rm", "-f", "web").OK(t)
			awaitClean(t, d)
		})
	}
}

// TestCheckpointsWithoutCRIU: the container goes on, and there is no checkpoint.
func TestCheckpointsWithoutCRIU(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{Flags: []string{"--experimental"}, Env: []string{"PATH=/nonexistent"}})
	d.Berth("run", "-d", "--name", "box", image, "sleep", "1000").OK(t)
	d.Berth("checkpoint", "create", "box", "one").Fails(t, 1, "Cannot checkpoint container box: ")
	awaitState(t, d, "box", "running")
	if got := d.Berth("checkpoint", "ls", "box").OK(t); got != "CHECKPOINT NAME" {
		t.Errorf("there is %q", got)
	}
	if got := d.Berth("exec", "box", "echo", "alive").OK(t); got != "alive" {
		t.Errorf("exec gave %q", got)
	}
}
