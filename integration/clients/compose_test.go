package clients

import (
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
	"github.com/moby/moby/api/types/container"
)

// TestCompose has each compose program do all that people ask of it.
func TestCompose(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	for _, c := range composers(t, d) {
		t.Run(c.name, func(t *testing.T) {
			files := []string{"compose.yaml"}
			if c.modern {
				files = append(files, "modern.yaml")
			}
			p := newProject(t, d, c, "testdata/compose", files...)
			t.Cleanup(func() { p.do("down", "-v", "--remove-orphans", "-t", "1") })
			p.up()
			p.order()
			p.networks()
			p.files1()
			p.streams()
			p.oneOff()
			p.lifecycle()
			p.scale()
			p.profile()
			p.recreate()
			if c.modern {
				p.watch()
			}
			p.ok("rm", "-s", "-f", "worker")
			p.is(countOf(p.containers("worker")), "", "the workers after rm")
			p.down("--rmi", "all")
			d.Berth("image", "inspect", "compose-web:test").Fails(t, 1, "No such image")
			d.Berth("load", "-q", "-i", sample).OK(t) // --rmi all means the base as well
		})
	}
}

// up returns when all is as it should be, where the program can wait.
func (p *project) up() {
	p.t.Helper()
	p.has(p.ok("config", "--services"), "db", "migrate", "web", "worker")
	// By BuildKit's door, and by the first builder's.
	p.has(p.with("DOCKER_BUILDKIT=1").told("build", "--build-arg", "WORD=from the command line", "web"), "#1 DONE")
	p.has(p.with("DOCKER_BUILDKIT=0").told("build", "web"), "Step 1/")
	args := []string{"up", "-d"}
	if p.c.modern {
		args = append(args, "--wait")
	}
	p.ok(args...)
	if got := p.containers("tools"); len(got) != 0 {
		p.t.Errorf("a service of a profile that was not asked for: %d", len(got))
	}
}

// order compares when things happened with what depends_on says.
func (p *project) order() {
	p.t.Helper()
	db, migrate, web := p.the("db"), p.the("migrate"), p.the("web")
	if db.State.Health == nil || db.State.Health.Status != container.Healthy {
		p.t.Fatalf("the health of db: %+v", db.State.Health)
	}
	i := slices.IndexFunc(db.State.Health.Log, func(r *container.HealthcheckResult) bool { return r.ExitCode == 0 })
	if i < 0 {
		p.t.Fatalf("no probe of db succeeded: %+v", db.State.Health.Log)
	}
	healthy, begun, ended, served := db.State.Health.Log[i].End, at(p.t, migrate.State.StartedAt), at(p.t, migrate.State.FinishedAt), at(p.t, web.State.StartedAt)
	// The log keeps the last five probes: the first may have gone already.
	if len(db.State.Health.Log) < 5 && begun.Before(healthy) {
		p.t.Errorf("migrate started at %s, before db was healthy at %s", begun, healthy)
	}
	if migrate.State.ExitCode != 0 || !begun.Before(ended) || served.Before(ended) {
		p.t.Errorf("web started at %s, migrate ended at %s with %d", served, ended, migrate.State.ExitCode)
	}
}

func at(t *testing.T, s string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// networks: addresses that are asked for, aliases, names, and what one network hides
// from the other.
func (p *project) networks() {
	p.t.Helper()
	db, web := p.the("db"), p.the("web")
	want := strings.TrimPrefix(p.env[0], "SUBNET=") + ".77"
	p.is(db.NetworkSettings.Networks[p.name+"_back"].IPAddress.String(), want, "the address of db")
	for _, name := range []string{"db", "database", "store"} {
		p.has(p.ok("exec", "-T", "web", "nslookup", name), want)
	}
	p.has(p.ok("exec", "-T", "worker", "nslookup", "web"), web.NetworkSettings.Networks[p.name+"_back"].IPAddress.String())
	if len(web.NetworkSettings.Networks) != 2 || len(db.NetworkSettings.Networks) != 1 {
		p.t.Errorf("web has %d networks, db %d", len(web.NetworkSettings.Networks), len(db.NetworkSettings.Networks))
	}
	address := p.ok("port", "web", "80")
	p.is(p.fetch("http://"+address+"/built.html"), "built", "what web was built with")
}

func (p *project) fetch(url string) string {
	p.t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// files1 are volumes, secrets, configs and what belongs to mounts.
func (p *project) files1() {
	p.t.Helper()
	p.is(p.ok("exec", "-T", "db", "cat", "/data/schema"), "migrated", "the volume of db and migrate")
	p.is(p.d.Berth("volume", "inspect", "-f", `{{index .Labels "org.example.kept"}}`, p.name+"_data").OK(p.t), "yes", "the label of the volume")
	p.is(p.ok("exec", "-T", "web", "cat", "/run/secrets/password"), "s3cret", "the secret")
	if p.c.modern {
		p.is(p.ok("exec", "-T", "web", "cat", "/var/www/config.html"), "a page of the configuration", "the config from a file")
		p.is(p.ok("exec", "-T", "web", "cat", "/etc/inline"), "inline first", "the config in the compose file")
		p.is(p.ok("exec", "-T", "web", "stat", "-c", "%a %u", "/etc/inline"), "440 7", "the mode and owner of a config")
	}
	p.has(p.ok("exec", "-T", "worker", "grep", "/scratch", "/proc/mounts"), "size=1024k")
	if r := p.do("exec", "-T", "worker", "touch", "/x"); r.Code == 0 {
		p.t.Error("worker writes to its root")
	}
	worker := p.the("worker")
	if worker.HostConfig.Memory != 64<<20 || !slices.Equal(worker.HostConfig.CapDrop, []string{"ALL"}) {
		p.t.Errorf("worker has %d bytes and drops %q", worker.HostConfig.Memory, worker.HostConfig.CapDrop)
	}
}

// streams are logs, exec, top and events.
func (p *project) streams() {
	p.t.Helper()
	p.has(p.told("logs", "--no-color", "--tail", "5", "worker"), "worker", "working")
	p.has(p.told("logs", "--no-color", "-t", "worker"), time.Now().UTC().Format("2006-"), "working")
	out, stop := p.background("logs", "--no-color", "-f", "--tail", "0", "web", "worker")
	address := p.ok("port", "web", "80")
	await(p.t, "a request in what logs -f shows", func() bool {
		p.fetch("http://" + address + "/built.html")
		return strings.Contains(out.String(), "response:200")
	})
	_ = stop(os.Interrupt)
	p.do("exec", "-T", "web", "sh", "-c", "exit 7").Fails(p.t, 7, "")
	p.is(p.ok("exec", "-T", "-e", "GIVEN=value", "-w", "/tmp", "-u", "7", "web", "sh", "-c", `echo "$GIVEN $PWD $(id -u)"`), "value /tmp 7", "what exec was told")
	cmd := p.command(p.t.Context(), "exec", "-T", "web", "cat")
	cmd.Stdin = strings.NewReader("piped\n")
	p.is(p.d.Done(cmd).OK(p.t), "piped", "what exec was piped")
	p.ok("exec", "-d", "web", "touch", "/tmp/detached")
	await(p.t, "what a detached exec does", func() bool { return p.do("exec", "-T", "web", "test", "-e", "/tmp/detached").Code == 0 })
	p.has(p.ok("top", "web"), "httpd")
	p.has(p.ok("images"), "compose-web")
	p.has(p.ok("ps", "-a"), p.name+p.separator()+"web"+p.separator()+"1", "127.0.0.1:")
	p.is(p.ok("ps", "-q", "web"), p.the("web").ID, "ps -q")
	events, hangUp := p.background("events", "--json", "worker")
	await(p.t, "events of a container that is paused", func() bool {
		p.ok("pause", "worker")
		p.ok("unpause", "worker")
		return strings.Contains(events.String(), `"unpause"`)
	})
	_ = hangUp(os.Interrupt)
	if p.c.modern {
		p.write("copied", "by cp")
		p.ok("cp", p.dir+"/copied", "web:/tmp/copied")
		p.is(p.ok("exec", "-T", "web", "cat", "/tmp/copied"), "by cp", "the file copied")
		p.ok("cp", "web:/tmp/copied", p.dir+"/back")
		if b, err := os.ReadFile(p.dir + "/back"); string(b) != "by cp" {
			p.t.Errorf("the file copied back is %q: %v", b, err)
		}
		p.has(p.ok("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"), "worker", "64MiB")
		p.has(p.ok("ls", "--filter", "name="+p.name), "running(3)")
	}
}

// separator stands between the parts of a container's name.
func (p *project) separator() string {
	if p.c.modern {
		return "-"
	}
	return "_"
}

// oneOff is compose run: a container beside the service's own.
func (p *project) oneOff() {
	p.t.Helper()
	before := p.the("db").ID
	r := p.do("run", "--rm", "-T", "-e", "GIVEN=value", "--no-deps", "worker", "sh", "-c", `echo "$GIVEN"; echo wrong >&2; exit 5`)
	r.Fails(p.t, 5, "wrong")
	p.is(strings.TrimSpace(r.Stdout), "value", "what run prints")
	cmd := p.command(p.t.Context(), "run", "--rm", "-T", "--entrypoint", "cat", "worker")
	cmd.Stdin = strings.NewReader("piped\n")
	p.is(p.d.Done(cmd).OK(p.t), "piped", "what run was piped")
	p.is(p.ok("run", "--rm", "-T", "--name", p.name+"-asked", "-v", p.dir+":/project:ro", "migrate", "cat", "/data/schema", "/project/password.txt"), "migrated\ns3cret", "the volumes of run")
	p.is(p.the("db").ID, before, "db after run")
	if left := p.d.Berth("ps", "-aq", "--filter", "label=com.docker.compose.project="+p.name, "--filter", "label=com.docker.compose.oneoff=True").OK(p.t); left != "" {
		p.t.Errorf("run --rm leaves %s", left)
	}
}

// lifecycle is stop, start, restart, kill, and the restart policy.
func (p *project) lifecycle() {
	p.t.Helper()
	state := func(service string) string { return string(p.the(service).State.Status) }
	id := p.the("worker").ID
	p.ok("stop", "-t", "1", "worker")
	p.is(state("worker"), "exited", "worker after stop")
	p.ok("start", "worker")
	begun := p.the("worker").State.StartedAt
	p.ok("restart", "-t", "1", "worker")
	if w := p.the("worker"); w.State.StartedAt == begun || w.ID != id || w.State.Status != container.StateRunning {
		p.t.Errorf("worker after restart: %+v", w.State)
	}
	p.ok("pause", "worker")
	p.is(state("worker"), "paused", "worker after pause")
	p.ok("unpause", "worker")
	p.ok("kill", "-s", "KILL", "db")
	await(p.t, "db is killed", func() bool { return state("db") == "exited" })
	p.ok("start", "db")
	// Not by hand: the policy has it run again.
	p.d.Berth("exec", id, "sh", "-c", "kill -9 $(pidof sleep)")
	await(p.t, "worker is run again by its policy", func() bool { w := p.the("worker"); return w.RestartCount == 1 && w.State.Running })
}

// scale has several containers answer to one name.
func (p *project) scale() {
	p.t.Helper()
	p.ok("up", "-d", "--no-recreate", "--scale", "worker=3", "worker")
	three := p.containers("worker")
	if len(three) != 3 {
		p.t.Fatalf("%d workers", len(three))
	}
	answer := p.ok("exec", "-T", "web", "nslookup", "worker")
	for _, w := range three {
		p.has(answer, w.NetworkSettings.Networks[p.name+"_back"].IPAddress.String()+"\n")
	}
	p.is(p.ok("exec", "-T", "--index", "3", "worker", "echo", "third"), "third", "exec in the third")
	p.ok("up", "-d", "--no-recreate", "--scale", "worker=1", "worker")
	p.is(p.the("worker").State.Error, "", "the error of the worker that stays")
}

func (p *project) profile() {
	p.t.Helper()
	q := *p
	q.profiles = []string{"debug"}
	q.ok("up", "-d")
	p.has(q.ok("exec", "-T", "tools", "nslookup", "db"), ".77")
	q.ok("rm", "-s", "-f", "tools")
}

// recreate replaces what changed and nothing else, and what it replaces keeps its
// volumes.
func (p *project) recreate() {
	p.t.Helper()
	db, web := p.the("db").ID, p.the("web").ID
	p.ok("up", "-d")
	p.is(p.the("web").ID, web, "web, which has not changed")
	p.with("WORD=second").ok("up", "-d")
	again := p.the("web")
	if again.ID == web || again.Config.Labels["org.example.word"] != "second" {
		p.t.Errorf("web after a change: %s with %v", again.ID, again.Config.Labels)
	}
	p.is(p.the("db").ID, db, "db, which has not changed")
	p.ok("exec", "-T", "db", "touch", "/anonymous/kept")
	p.with("WORD=second").ok("up", "-d", "--force-recreate", "-t", "1", "db")
	if p.the("db").ID == db {
		p.t.Error("db is the same after --force-recreate")
	}
	p.ok("exec", "-T", "db", "ls", "/anonymous/kept", "/data/schema")
	p.with("WORD=second").ok("up", "-d", "--force-recreate", "-V", "-t", "1", "db")
	if r := p.do("exec", "-T", "db", "ls", "/anonymous/kept"); r.Code == 0 {
		p.t.Error("the anonymous volume is there after --renew-anon-volumes")
	}
}

// watch brings changes of files into what runs, and changes of the Dockerfile too.
func (p *project) watch() {
	p.t.Helper()
	out, stop := p.with("WORD=second").background("watch", "--no-up", "web")
	await(p.t, "watch begins", func() bool { return strings.Contains(strings.ToLower(out.String()), "watch enabled") })
	page := func(name string) string { return p.do("exec", "-T", "web", "cat", "/var/www/"+name).Stdout }
	p.write("web/pages/live.html", "after\n")
	await(p.t, "the page is synchronized", func() bool { return page("pages/live.html") == "after\n" })
	before := p.the("web").ID
	p.write("web/Dockerfile", "FROM "+image+"\nRUN echo rebuilt >/var/www/built.html\nCOPY pages /var/www/pages\nCMD [\"httpd\", \"-f\", \"-v\", \"-h\", \"/var/www\"]\n")
	await(p.t, "web is built and run again", func() bool { return page("built.html") == "rebuilt\n" })
	if p.the("web").ID == before {
		p.t.Error("web is the same container after a rebuild")
	}
	_ = stop(os.Interrupt)
}

// TestComposeAsTheTest is how pipelines use compose: up to the end of one service,
// whose exit code is the command's.
func TestComposeAsTheTest(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	for _, c := range composers(t, d) {
		t.Run(c.name, func(t *testing.T) {
			p := newProject(t, d, c, "testdata/compose", "tests.yaml")
			t.Cleanup(func() { p.do("down", "-v", "-t", "1") })
			r := p.do("up", "--no-color", "--abort-on-container-exit", "--exit-code-from", "tester")
			p.has(r.Stdout+r.Stderr, "It runs.")
			if r.Code != 6 {
				t.Errorf("code %d, want the tester's, 6:\n%s%s", r.Code, r.Stdout, r.Stderr)
			}
			if s := p.the("server").State; s.Running {
				t.Error("the server runs on")
			}
			p.down()
		})
	}
}

func countOf(all []container.InspectResponse) (names string) {
	for _, c := range all {
		names += c.Name
	}
	return names
}
