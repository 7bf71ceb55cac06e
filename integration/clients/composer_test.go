package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
	"github.com/moby/moby/api/types/container"
)

// composer is one of the compose programs.
type composer struct {
	name    string
	command []string
	modern  bool // written in Go, speaks BuildKit: 2 and later
}

// composers are Debian's, which is the last of version 1, the last of version 2 as a
// program, and the newest as the plugin of docker's client and of ours.
func composers(t *testing.T, d *harness.Daemon) []composer {
	t.Helper()
	d.Plugin("docker-compose")
	d.Plugin("docker-buildx")
	return []composer{
		{name: "v1", command: []string{"/usr/bin/docker-compose"}},
		{name: "v2", command: []string{filepath.Join(harness.Bin(), "clients", "docker-compose-v2")}, modern: true},
		{name: "v5", command: []string{"docker", "compose"}, modern: true},
		{name: "berth", command: []string{harness.BerthCLI(), "compose"}, modern: true},
	}
}

// project is a folder with compose files that a composer works on.
type project struct {
	t        *testing.T
	d        *harness.Daemon
	c        composer
	name     string
	dir      string
	files    []string
	env      []string
	profiles []string
	patience time.Duration // with each command: a build may be among them
}

var subnets atomic.Uint32

// newProject copies a folder of compose files. Its SUBNET is its own, without the last part.
func newProject(t *testing.T, d *harness.Daemon, c composer, from string, files ...string) *project {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "project")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	n := subnets.Add(1)
	return &project{
		t: t, d: d, c: c, dir: dir, files: files, patience: 5 * harness.Patience, name: fmt.Sprintf("%s%d", c.name, n),
		env: []string{fmt.Sprintf("SUBNET=10.%d.%d", 96+os.Getpid()%64, n)},
	}
}

// with is the same project with further environment.
func (p *project) with(env ...string) *project {
	q := *p
	q.env = append(append([]string(nil), p.env...), env...)
	return &q
}

func (p *project) command(ctx context.Context, args ...string) *exec.Cmd {
	words := append([]string(nil), p.c.command[1:]...)
	words = append(words, "--project-name", p.name, "--project-directory", p.dir)
	for _, f := range p.files {
		words = append(words, "-f", filepath.Join(p.dir, f))
	}
	for _, f := range p.profiles {
		words = append(words, "--profile", f)
	}
	cmd := p.d.Command(ctx, p.c.command[0], append(words, args...)...)
	cmd.Env = append(append(cmd.Env, "COMPOSE_PROGRESS=plain", "COMPOSE_MENU=false", "PYTHONWARNINGS=ignore"), p.env...)
	return cmd
}

func (p *project) do(args ...string) harness.Result {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), p.patience)
	defer cancel()
	return p.d.Done(p.command(ctx, args...))
}

func (p *project) ok(args ...string) string {
	p.t.Helper()
	return p.do(args...).OK(p.t)
}

// told is what a command says on both streams.
func (p *project) told(args ...string) string {
	p.t.Helper()
	r := p.do(args...)
	r.OK(p.t)
	return r.Stdout + r.Stderr
}

// background runs a command until the test says stop, or the test ends.
func (p *project) background(args ...string) (out *harness.Buffer, stop func(os.Signal) error) {
	p.t.Helper()
	out = &harness.Buffer{}
	cmd := p.command(context.WithoutCancel(p.t.Context()), args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	var once sync.Once
	var ended error
	stop = func(s os.Signal) error {
		once.Do(func() { _ = cmd.Process.Signal(s); ended = cmd.Wait() })
		return ended
	}
	p.t.Cleanup(func() { _ = stop(os.Kill) })
	return out, stop
}

// containers are those of a service, stopped ones too, without those of compose run.
func (p *project) containers(service string) (all []container.InspectResponse) {
	p.t.Helper()
	ids := strings.Fields(p.d.Berth("ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project="+p.name,
		"--filter", "label=com.docker.compose.service="+service, "--filter", "label=com.docker.compose.oneoff=False").OK(p.t))
	for _, id := range ids {
		// One that is just being replaced is in the list and gone.
		var one []container.InspectResponse
		if r := p.d.Berth("container", "inspect", id); r.Code == 0 {
			if err := json.Unmarshal([]byte(r.Stdout), &one); err != nil {
				p.t.Fatal(err)
			}
			all = append(all, one...)
		}
	}
	return all
}

// the is a service's only container.
func (p *project) the(service string) container.InspectResponse {
	p.t.Helper()
	all := p.containers(service)
	if len(all) != 1 {
		p.t.Fatalf("%s has %d containers", service, len(all))
	}
	return all[0]
}

// down takes all away and looks that nothing is left of the project.
func (p *project) down(args ...string) {
	p.t.Helper()
	p.ok(append([]string{"down", "-v", "--remove-orphans", "-t", "1"}, args...)...)
	for _, kind := range [][]string{{"ps", "-aq"}, {"network", "ls", "-q"}, {"volume", "ls", "-q"}} {
		if left := p.d.Berth(append(kind, "--filter", "label=com.docker.compose.project="+p.name)...).OK(p.t); left != "" {
			p.t.Errorf("%s after down: %s", kind[0], left)
		}
	}
}

func (p *project) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *project) is(got, want, what string) {
	p.t.Helper()
	if got != want {
		p.t.Errorf("%s is %q, want %q", what, got, want)
	}
}

func (p *project) has(text string, parts ...string) {
	p.t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			p.t.Errorf("no %q in\n%s", part, text)
		}
	}
}
