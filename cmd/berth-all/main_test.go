package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/cmd/berth/root"
)

// asBerth makes the test binary behave as the program, so that what is tested is
// a real process with its own arguments, environment and exit status.
const asBerth = "BERTH_TEST_AS_BERTH"

func TestMain(m *testing.M) {
	if os.Getenv(asBerth) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// berth runs the client with a configuration folder of its own.
func berth(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return runAs(t, self, env, args...)
}

// runAs runs the client under the name of a path that leads to it.
func runAs(t *testing.T, path string, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append([]string{asBerth + "=1", "PATH=" + os.Getenv("PATH"), "DOCKER_CONFIG=" + configDir(t)}, env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func configDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "config")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// daemon answers on a unix socket as a daemon of the given API version and
// counts requests by path.
func daemon(t *testing.T, apiVersion string) (host string, seen func() []string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "berth") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	requests := make(chan string, 100)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r.Method + " " + r.URL.Path + " " + r.UserAgent()
		w.Header().Set("Api-Version", apiVersion)
		w.Header().Set("Ostype", "linux")
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
		case strings.HasSuffix(r.URL.Path, "/containers/json"):
			_, _ = w.Write([]byte(`[{"Id":"c1","Names":["/web"],"State":"running"}]`))
		case strings.HasSuffix(r.URL.Path, "/images/json"):
			_, _ = w.Write([]byte(`[{"Id":"sha256:1","RepoTags":["nginx:latest"]}]`))
		case strings.HasSuffix(r.URL.Path, "/networks"):
			_, _ = w.Write([]byte(`[{"Name":"backend"}]`))
		case strings.HasSuffix(r.URL.Path, "/volumes"):
			_, _ = w.Write([]byte(`{"Volumes":[{"Name":"pgdata"}]}`))
		default:
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(map[string]string{"message": "No such container: docker"})
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return "unix://" + l.Addr().String(), func() (all []string) {
		for len(requests) > 0 {
			all = append(all, <-requests)
		}
		return all
	}
}

func TestSpeaksOfBerth(t *testing.T) {
	docker := regexp.MustCompile(`(?i)\bdocker\b`)
	for _, args := range [][]string{{}, {"--help"}, {"help"}} {
		stdout, stderr, _ := berth(t, nil, args...)
		text := stdout + stderr
		if !strings.Contains(text, "Usage:  berth [OPTIONS] COMMAND") {
			t.Errorf("%q prints %q", args, text)
		}
		for line := range strings.Lines(text) {
			switch {
			case !docker.MatchString(line):
			case strings.Contains(line, "that speaks Docker"), strings.Contains(line, "Docker Hub"),
				strings.Contains(line, "Docker image manifests"), strings.Contains(line, "The commands are Docker's"):
			default:
				t.Errorf("%q shows %q", args, line)
			}
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--version"}, "Berth version 0.1.0-dev, build unknown\n"},
		{[]string{"-v"}, "Berth version 0.1.0-dev, build unknown\n"},
		{[]string{"ps", "--help"}, "Usage:  berth ps [OPTIONS]"},
		{[]string{"ps", "--help"}, "berth container ls, berth container list"},
		{[]string{"help", "container"}, "Run 'berth container COMMAND --help'"},
		{[]string{"context", "ls"}, root.Host},
		{[]string{"completion", "bash"}, "bash completion V2 for berth"},
		{[]string{"__complete", "volu"}, "volume\tManage volumes"},
	} {
		stdout, stderr, code := berth(t, nil, c.args...)
		if code != 0 || !strings.Contains(stdout, c.want) {
			t.Errorf("%q: status %d, %s%s", c.args, code, stdout, stderr)
		}
	}
}

// What shells ask for when the user wants a line completed.
func TestCompletesNames(t *testing.T) {
	host, _ := daemon(t, "1.55")
	env := []string{"DOCKER_HOST=" + host}
	for _, c := range []struct{ line, want string }{
		{"stop ", "web"}, {"exec ", "web"}, {"container inspect ", "web"}, {"logs ", "web"},
		{"run ", "nginx:latest"}, {"image rm ", "nginx:latest"}, {"network rm ", "backend"}, {"run --network ", "backend"},
		{"volume rm ", "pgdata"}, {"volume export ", "pgdata"}, {"volume snapshot ", "pgdata"},
		{"--context ", "default"}, {"--log-level ", "debug"},
	} {
		args := append([]string{"__complete"}, strings.Split(c.line, " ")...)
		stdout, stderr, code := berth(t, env, args...)
		if code != 0 || !slices.Contains(strings.Split(stdout, "\n"), c.want) {
			t.Errorf("%q completes to %q, without %q (status %d, %s)", c.line, stdout, c.want, code, stderr)
		}
	}
}

// plugin makes a CLI plugin "hello" that answers a metadata request and otherwise as
// the branch of sh's case says, and gives the environment that has it.
func plugin(t *testing.T, branch string) []string {
	t.Helper()
	cfg := configDir(t)
	dir := filepath.Join(cfg, "cli-plugins")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	script := `#!/bin/sh
case "$1" in
docker-cli-plugin-metadata) echo '{"SchemaVersion":"0.1.0","Vendor":"test","ShortDescription":"Says hello"}';;
` + branch + `
esac
`
	if err := os.WriteFile(filepath.Join(dir, "docker-hello"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{"DOCKER_CONFIG=" + cfg}
}

// A CLI plugin completes its own words.
func TestCompletesPlugins(t *testing.T) {
	env := plugin(t, `__complete) echo everyone; echo :4;;`)
	for _, c := range []struct{ args, want string }{{"hel", "hello\tSays hello\n"}, {"hello ", "everyone\n"}} {
		stdout, stderr, code := berth(t, env, append([]string{"__complete"}, strings.Split(c.args, " ")...)...)
		if code != 0 || !strings.Contains(stdout, c.want) {
			t.Errorf("%q: status %d, %q, %q", c.args, code, stdout, stderr)
		}
	}
}

// Called docker, the client takes Docker's place: its words, its socket.
func TestAsDocker(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	docker := filepath.Join(t.TempDir(), "docker")
	if err := os.Symlink(self, docker); err != nil {
		t.Fatal(err)
	}
	host, seen := daemon(t, "1.55")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--version"}, 0, "Docker version 2"},
		{[]string{"--help"}, 0, "Usage:  docker [OPTIONS] COMMAND"},
		{[]string{"ps", "--help"}, 0, "docker container ls, docker container list, docker container ps, docker ps"},
		{[]string{"context", "ls"}, 0, "unix:///var/run/docker.sock"},
		{[]string{"completion", "bash"}, 0, "bash completion V2 for docker"},
		{[]string{"frob"}, 1, "docker: unknown command: docker frob\n\nRun 'docker --help' for more information"},
		{[]string{"-H", host, "run", "--nope", "x"}, 125, "Run 'docker run --help' for more information"},
		{[]string{"-H", "unix:///nowhere.sock", "ps"}, 1, "unix:///nowhere.sock"},
		{[]string{"-H", host, "ps", "-q"}, 0, "c1"},
	} {
		stdout, stderr, code := runAs(t, docker, nil, c.args...)
		if text := stdout + stderr; code != c.code || !strings.Contains(text, c.want) || strings.Contains(strings.ToLower(strings.ReplaceAll(text, "build berth-", "")), "berth") {
			t.Errorf("%q: status %d, %q", c.args, code, text)
		}
	}
	for _, r := range seen() {
		if !strings.Contains(r, "Docker-Client/") {
			t.Errorf("request %q has another user agent", r)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	dir := t.TempDir()
	here := "unix://" + dir + "/none.sock"
	for _, c := range []struct {
		env  string
		args []string
		code int
		want []string
	}{
		{"DOCKER_HOST=" + here, []string{"ps"}, 1, []string{"Cannot connect to the Berth daemon at " + here + ". Is berthd running?", "Start it with: sudo berthd -H " + here}},
		{"", []string{"-H", here, "run", "x"}, 125, []string{here, "sudo berthd"}},
		{"", []string{"-H", here, "info"}, 1, []string{here, "sudo berthd"}},
		{"", []string{"-H", here, "version"}, 1, []string{here, "sudo berthd"}},
		{"", []string{"-H", here, "rm", "a", "b"}, 1, []string{here, "sudo berthd"}},
		{"", []string{"-H", "tcp://127.0.0.1:1", "ps"}, 1, []string{"tcp://127.0.0.1:1", "berthd --tlsverify -H tcp://127.0.0.1:1"}},
	} {
		_, stderr, code := berth(t, []string{c.env}, c.args...)
		for _, w := range c.want {
			if !strings.Contains(stderr, w) {
				t.Errorf("%s %q: %q is missing in %q", c.env, c.args, w, stderr)
			}
		}
		if code != c.code {
			t.Errorf("%s %q: status %d, want %d", c.env, c.args, code, c.code)
		}
		if strings.Contains(stderr, "ocker daemon") {
			t.Errorf("%q speaks of another daemon: %q", c.args, stderr)
		}
	}
}

func TestWhereItConnects(t *testing.T) {
	host, seen := daemon(t, "1.55")
	cfg := configDir(t)
	withContext := []string{"DOCKER_CONFIG=" + cfg} // the last of an environment's doubles wins
	if _, stderr, code := berth(t, withContext, "context", "create", "here", "--docker", "host="+host); code != 0 {
		t.Fatal(stderr)
	}
	for _, c := range []struct {
		env  []string
		args []string
	}{
		{[]string{"DOCKER_HOST=" + host}, []string{"ps"}},
		{nil, []string{"-H", host, "ps"}},
		{withContext, []string{"--context", "here", "ps"}},
		{append(withContext, "DOCKER_CONTEXT=here"), []string{"ps"}},
	} {
		_, stderr, code := berth(t, c.env, c.args...)
		requests := seen()
		if code != 0 || len(requests) == 0 {
			t.Errorf("%s %q: status %d, %d requests, %s", c.env, c.args, code, len(requests), stderr)
		}
		for _, r := range requests {
			if !strings.Contains(r, "Berth-Client/") {
				t.Errorf("request %q has another user agent", r)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	old, _ := daemon(t, "1.44")
	current, _ := daemon(t, "1.55")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-H", current, "inspect", "--type", "container", "docker"}, 1, "No such container: docker"},
		{[]string{"-H", current, "run", "--pull", "often", "x"}, 125, "berth: invalid pull option"},
		{[]string{"-H", current, "run", "--nope", "x"}, 125, "Run 'berth run --help' for more information"},
		{[]string{"frob"}, 1, "berth: unknown command: berth frob"},
		{[]string{"--nope"}, 125, "unknown flag: --nope"},
		{[]string{"run"}, 1, "berth run' requires at least 1 argument"},
		{[]string{"help", "frob"}, 1, "unknown help topic: frob"},
		{[]string{"-H", old, "ps", "--nope"}, 125, "unknown flag"},
		{[]string{"-H", old, "image", "inspect", "--platform", "linux/amd64", "x"}, 1, `"--platform" requires API version 1.49, but the daemon's API version is 1.44`},
		{[]string{"-H", old, "run", "--cpu-count", "1", "x"}, 1, `"--cpu-count" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux`},
		{[]string{"-H", old, "start", "--checkpoint", "a", "x"}, 1, `"--checkpoint" is only supported on a Docker daemon with experimental features enabled`},
		{[]string{"-H", old, "checkpoint", "ls", "x"}, 1, "berth checkpoint ls is only supported on a Docker daemon with experimental features enabled"},
	} {
		_, stderr, code := berth(t, nil, c.args...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: status %d, want %d; %q", c.args, code, c.code, stderr)
		}
	}
}

// A plugin is a program that answers a metadata request and is then given the
// whole command line.
func TestPlugin(t *testing.T) {
	env := plugin(t, `*) echo "host=$DOCKER_HOST args=$*"; exit 7;;`)
	stdout, stderr, code := berth(t, env, "hello", "-x", "world")
	if code != 7 || stdout != "host="+root.Host+" args=hello -x world\n" {
		t.Errorf("status %d, %q, %q", code, stdout, stderr)
	}
	if stdout, _, _ = berth(t, append(env, "DOCKER_HOST=unix:///elsewhere"), "hello"); !strings.Contains(stdout, "host=unix:///elsewhere ") {
		t.Errorf("DOCKER_HOST is not kept: %q", stdout)
	}
	if stdout, _, _ = berth(t, env, "--help"); !strings.Contains(stdout, "hello*") || !strings.Contains(stdout, "Says hello") {
		t.Errorf("help does not list the plugin: %q", stdout)
	}
}
