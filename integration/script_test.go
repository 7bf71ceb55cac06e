package integration

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
)

// TestScript runs what a user types all day, through our CLI and through unmodified
// docker CLIs, from Debian's to the newest: nothing may differ.
func TestScript(t *testing.T) {
	for name, client := range harness.Dockers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := start(t, harness.Options{})
			s := script{t, d, client}
			for _, step := range []struct {
				name string
				run  func(script)
			}{
				{"run", script.run}, {"exit codes", script.exitCodes}, {"streams", script.streams},
				{"detached", script.detached}, {"lifecycle", script.lifecycle}, {"images", script.images},
				{"networks", script.networks}, {"system", script.system}, {"events", script.events},
			} {
				ok := t.Run(step.name, func(t *testing.T) { step.run(script{t, d, client}) })
				if !ok {
					break
				}
			}
			s.empty()
		})
	}
}

type script struct {
	t      *testing.T
	d      *harness.Daemon
	client string
}

// scripts runs f for each client, with a daemon of its own that has the sample image.
func scripts(t *testing.T, f func(script)) {
	for name, client := range clients(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(script{t, start(t, harness.Options{}), client})
		})
	}
}

func (s script) do(args ...string) harness.Result {
	s.t.Helper()
	return s.d.Client(s.client, nil, args...)
}

func (s script) ok(args ...string) string {
	s.t.Helper()
	return s.do(args...).OK(s.t)
}

func (s script) is(want string, args ...string) {
	s.t.Helper()
	if got := s.ok(args...); got != want {
		s.t.Fatalf("%s: got %q, want %q", strings.Join(args, " "), got, want)
	}
}

func (s script) contains(want string, args ...string) string {
	s.t.Helper()
	got := s.ok(args...)
	if !strings.Contains(got, want) {
		s.t.Fatalf("%s: %q is not in:\n%s", strings.Join(args, " "), want, got)
	}
	return got
}

func (s script) empty() {
	s.t.Helper()
	s.is("", "ps", "-aq")
}

func (s script) run() {
	s.is("hello", "run", "--rm", image, "echo", "hello")
	s.is("/tmp", "run", "--rm", "-w", "/tmp", image, "pwd")
	s.is("b", "run", "--rm", "-e", "A=b", image, "sh", "-c", "echo $A")
	s.is("web1", "run", "--rm", "--hostname", "web1", image, "hostname")
	s.is("/bin/ls", "run", "--rm", "--entrypoint", "/bin/ls", image, "/bin/ls")
	s.is("uid=1234 gid=0(root) groups=0(root)", "run", "--rm", "-u", "1234", image, "id")
	s.contains("eth0", "run", "--rm", image, "ip", "address")
	s.is("lo", "run", "--rm", "--network", "none", image, "ls", "/sys/class/net")
	s.contains(s.d.Bridge, "run", "--rm", "--network", "host", image, "ls", "/sys/class/net")
	s.empty()
}

func (s script) exitCodes() {
	s.do("run", "--rm", image, "sh", "-c", "exit 3").Fails(s.t, 3, "")
	s.do("run", "--rm", image, "no-such-command").Fails(s.t, 127, "executable file not found in $PATH")
	s.do("run", "--rm", image, "/etc/passwd").Fails(s.t, 126, "permission denied")
	s.do("run", "--rm", image, "sh", "-c", "sleep 1000 & kill -9 $!; wait $!").Fails(s.t, 137, "")
	s.do("run", "--rm", "--pull", "never", "no-such-image").Fails(s.t, 125, "No such image: no-such-image:latest")
	s.do("run", "--rm", "--network", "no-such-net", image, "true").Fails(s.t, 125, "network no-such-net not found")
	s.do("inspect", "no-such-container").Fails(s.t, 1, "no-such-container")
	s.empty()
}

func (s script) streams() {
	r := s.d.Client(s.client, strings.NewReader("one\ntwo\n"), "run", "--rm", "-i", image, "cat")
	if got := r.OK(s.t); got != "one\ntwo" {
		s.t.Fatalf("cat gave %q", got)
	}
	r = s.do("run", "--rm", image, "sh", "-c", "echo out; echo err >&2")
	if r.OK(s.t) != "out" || strings.TrimSpace(r.Stderr) != "err" {
		s.t.Fatalf("stdout %q, stderr %q", r.Stdout, r.Stderr)
	}
	// The first and the last byte of a program that ends at once arrive, always.
	for i := range 20 {
		s.is(fmt.Sprintf("first %d last", i), "run", "--rm", "--network", "none", image, "echo", fmt.Sprintf("first %d last", i))
	}
	s.ok("create", "--name", "greeter", image, "echo", "again")
	s.is("again", "start", "-a", "greeter")
	s.is("again", "start", "-a", "greeter")
	s.is("again\nagain", "logs", "greeter")
	s.is("again", "logs", "--tail", "1", "greeter")
	s.ok("rm", "greeter")
}

func (s script) detached() {
	id := s.ok("run", "-d", "--name", "web", "-p", "127.0.0.1::80", image, "httpd", "-f", "-v", "-h", "/var/www")
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(id) {
		s.t.Fatalf("run -d printed %q", id)
	}
	address := s.ok("port", "web", "80/tcp")
	body := s.fetch("http://" + address + "/")
	if !strings.Contains(body, "<") {
		s.t.Fatalf("the web server answered %q", body)
	}
	s.contains("CONTAINER ID   IMAGE", "ps")
	row := s.ok("ps", "--format", "{{.ID}} {{.Image}} {{.Status}} {{.Ports}} {{.Names}}")
	want := regexp.MustCompile("^" + id[:12] + ` berth-test:latest Up .* ` + regexp.QuoteMeta(address) + `->80/tcp web$`)
	if !want.MatchString(row) {
		s.t.Fatalf("ps shows %q", row)
	}
	s.is("8", "exec", "web", "sh", "-c", "echo $((3+5))")
	s.do("exec", "web", "sh", "-c", "exit 7").Fails(s.t, 7, "")
	s.do("exec", "web", "no-such-command").Fails(s.t, 127, "")
	r := s.d.Client(s.client, strings.NewReader("piped"), "exec", "-i", "web", "cat")
	if r.OK(s.t) != "piped" {
		s.t.Fatalf("exec -i cat gave %q", r.Stdout)
	}
	s.do("run", "--name", "web", image, "true").Fails(s.t, 125, `The container name "/web" is already in use by container "`+id+`"`)
	s.do("rm", "web").Fails(s.t, 1, "container is running")
	s.ok("rm", "-f", "web")
}

func (s script) fetch(url string) string {
	s.t.Helper()
	deadline := time.Now().Add(harness.Patience)
	for {
		resp, err := http.Get(url)
		if err == nil {
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				s.t.Fatal(err)
			}
			return string(b)
		}
		if time.Now().After(deadline) {
			s.t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // the server in the container is still starting
	}
}

func (s script) lifecycle() {
	s.ok("run", "-d", "--name", "sleeper", image, "sleep", "1000")
	s.is("running", "inspect", "-f", "{{.State.Status}}", "sleeper")
	s.ok("pause", "sleeper")
	s.is("paused", "inspect", "-f", "{{.State.Status}}", "sleeper")
	s.contains("(Paused)", "ps")
	s.do("exec", "sleeper", "true").Fails(s.t, 1, "is paused, unpause the container before exec")
	s.ok("unpause", "sleeper")
	s.ok("rename", "sleeper", "dreamer")
	s.ok("stop", "-t", "0", "dreamer")
	s.is("exited 137", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "dreamer")
	s.contains("Exited (137)", "ps", "-a")
	s.ok("start", "dreamer")
	s.ok("restart", "-t", "0", "dreamer")
	s.ok("kill", "dreamer")
	s.is("137", "wait", "dreamer")
	s.do("kill", "dreamer").Fails(s.t, 1, "is not running")
	s.ok("rm", "dreamer")
	s.ok("run", "-d", "--name", "polite", image, "sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done")
	await(s.t, "the trap is set", func() bool { return s.ok("logs", "polite") == "ready" })
	s.ok("stop", "polite")
	s.is("5", "inspect", "-f", "{{.State.ExitCode}}", "polite")
	s.ok("rm", "polite")
}

func (s script) images() {
	s.contains("berth-test", "images")
	s.ok("tag", image, "other:v1")
	s.is(s.ok("image", "inspect", "-f", "{{.Id}}", image), "image", "inspect", "-f", "{{.Id}}", "other:v1")
	s.contains("Untagged: other:v1", "rmi", "other:v1")
	s.do("image", "inspect", "other:v1").Fails(s.t, 1, "No such image: other:v1")
	s.ok("create", "--name", "user", image)
	s.do("rmi", image).Fails(s.t, 1, "conflict: unable to")
	s.ok("rm", "user")
	s.do("load", "-i", "/etc/passwd").Fails(s.t, 1, "")
}

func (s script) networks() {
	s.is("bridge\nhost\nnone", "network", "ls", "--format", "{{.Name}}")
	s.is(s.d.Subnet+".0/24", "network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "bridge")
	s.ok("run", "-d", "--name", "aa", image, "httpd", "-f", "-h", "/var/www")
	address := s.ok("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "aa")
	if !strings.HasPrefix(address, s.d.Subnet+".") {
		s.t.Fatalf("address %s is not of %s", address, s.d.Subnet)
	}
	s.contains("<", "run", "--rm", image, "wget", "-q", "-O", "-", "http://"+address+"/")
	s.contains("<", "run", "--rm", "--network", "container:aa", image, "wget", "-q", "-O", "-", "http://127.0.0.1/")
	s.contains(address, "network", "inspect", "bridge")
	s.ok("rm", "-f", "aa")
}

func (s script) system() {
	s.contains("Engine:", "version")
	s.is("0", "info", "-f", "{{.Containers}}")
	s.is("overlayfs", "info", "-f", "{{.Driver}}")
}

func (s script) events() {
	s.ok("run", "--name", "eventful", image, "true")
	s.ok("rm", "eventful")
	out := s.ok("events", "--since", "1m", "--until", time.Now().Format(time.RFC3339Nano), "--filter", "container=eventful", "--format", "{{.Action}}")
	// What Docker 29 sends for run and rm, in its order; attach comes before the
	// start because the client attaches first.
	if want := "create attach start die destroy"; strings.Join(strings.Fields(out), " ") != want {
		s.t.Fatalf("events %q, want %q", out, want)
	}
}
