package clients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestExamples runs each stack of examples/ as its page says, from the build to down.
func TestExamples(t *testing.T) {
	t.Parallel()
	d := harness.Start(t, harness.Options{})
	d.DebianBase("debian:bookworm-slim")
	c := composers(t, d)[3] // berth compose
	for _, e := range []struct {
		name  string
		tried func(*project)
	}{
		{"shop", (*project).shop}, {"site", (*project).site}, {"queue", (*project).queue},
		{"backup", (*project).backup}, {"balancer", (*project).balancer},
	} {
		t.Run(e.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "examples")
			if err := os.CopyFS(dir, os.DirFS("../../examples")); err != nil {
				t.Fatal(err)
			}
			p := &project{t: t, d: d, c: c, name: e.name, dir: filepath.Join(dir, e.name), files: []string{"compose.yaml"}, patience: 15 * harness.Patience}
			t.Cleanup(func() { p.do("down", "-v", "--remove-orphans", "-t", "1") })
			p.profiles = []string{"*"}
			p.ok("build")
			p.profiles = nil
			e.tried(p)
			p.profiles = []string{"*"}
			p.down()
		})
	}
}

// url is where a service's port is published.
func (p *project) url(service, port string) string {
	p.t.Helper()
	return "http://" + p.ok("port", service, port)
}

func (p *project) shop() {
	p.ok("up", "-d", "--wait")
	p.is(p.fetch(p.url("web", "8000")+"/a"), "visits: 1", "the first visit")
	p.ok("up", "-d", "--wait", "--force-recreate", "-t", "3")
	p.is(p.fetch(p.url("web", "8000")+"/b"), "visits: 2", "the second visit, of containers made anew")
}

func (p *project) site() {
	p.ok("up", "-d", "--wait")
	p.has(p.fetch(p.url("web", "80")), `<a href="harbour.html">`)
	p.has(p.ok("run", "--rm", "-T", "check"), "Ships lie here &amp; are unloaded.", "One ship&#x27;s place.")
}

func (p *project) queue() {
	p.ok("up", "-d")
	p.has(p.ok("wait", "report"), "exited with status code 0")
	p.has(p.ok("logs", "--no-log-prefix", "report"), "sum 338350")
	if n := len(p.containers("worker")); n != 3 {
		p.t.Errorf("%d workers", n)
	}
}

func (p *project) backup() {
	p.ok("up", "-d", "--wait", "db")
	p.ok("run", "--rm", "-T", "backup")
	p.ok("exec", "-T", "db", "psql", "-qc", "drop table ships")
	if got := p.ok("run", "--rm", "-T", "--no-deps", "restore"); !strings.HasSuffix(got, "\n2") {
		p.t.Errorf("restored: %q", got)
	}
}

func (p *project) balancer() {
	p.ok("up", "-d", "--wait")
	url, seen := p.url("proxy", "80"), map[string]bool{}
	await(p.t, "an answer of each instance", func() bool {
		for _, c := range p.containers("program") {
			if answer := p.fetch(url); strings.HasPrefix(c.ID, answer) {
				seen[c.ID] = true
			}
		}
		return len(seen) == 3
	})
}
