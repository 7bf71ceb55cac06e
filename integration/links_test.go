package integration

import (
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestLinks gives names on the default bridge, to both clients.
func TestLinks(t *testing.T) {
	t.Parallel()
	eachClient(t, func(t *testing.T, d *harness.Daemon, run runner) {
		address := func(name string) string {
			return run("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", name).OK(t)
		}
		run("run", "-d", "--name", "db", "--hostname", "dbhost", "--expose", "80", image, "sleep", "1000").OK(t)
		run("run", "-d", "--name", "web", "--link", "db:store", "--link", "db", image, "sleep", "1000").OK(t)
		for _, alias := range []string{"store", "db", "dbhost"} {
			run("exec", "web", "ping", "-c", "1", alias).OK(t)
		}
		if got := run("exec", "web", "grep", "store", "/etc/hosts").OK(t); got != address("db")+"\tstore dbhost db" {
			t.Errorf("hosts: %q", got)
		}
		if got := run("exec", "web", "env").OK(t); strings.Contains(got, "STORE_") {
			t.Errorf("Docker 29 sets no variables: %q", got)
		}
		if got := run("inspect", "-f", "{{.HostConfig.Links}}", "web").OK(t); got != "[/db:/web/store /db:/web/db]" {
			t.Errorf("links: %q", got)
		}
		if got := run("ps", "--no-trunc", "--filter", "name=db", "--format", "{{.Names}}").OK(t); got != "db,web/store,web/db" {
			t.Errorf("names: %q", got)
		}
		if got := run("inspect", "-f", "{{.Name}}", "web/store").OK(t); got != "/db" {
			t.Errorf("by the link's name: %q", got)
		}
		// Another address, while who links to it runs.
		move := func(name, squatter string) {
			run("stop", "-t", "0", name).OK(t)
			run("run", "-d", "--name", squatter, image, "sleep", "1000").OK(t)
			run("start", name).OK(t)
		}
		move("db", "squatter")
		await(t, "the new address", func() bool {
			return run("exec", "web", "grep", "store", "/etc/hosts").OK(t) == address("db")+"\tstore dbhost db"
		})
		// The link is to the container, not to its name.
		run("rename", "db", "base").OK(t)
		run("rename", "web", "site").OK(t)
		run("restart", "-t", "0", "site").OK(t)
		if got := run("exec", "site", "grep", "store", "/etc/hosts").OK(t); got != address("base")+"\tstore dbhost base" {
			t.Errorf("hosts after the renames: %q", got)
		}
		d.Kill()
		d.Run()
		if got := run("inspect", "-f", "{{.Name}}", "site/store").OK(t); got != "/base" {
			t.Errorf("after the daemon's death: %q", got)
		}
		// Its name in the file is of before the renames, and its address of now.
		run("rename", "base", "ground").OK(t)
		move("ground", "squatter2")
		await(t, "the address of another name", func() bool {
			return run("exec", "site", "grep", "store", "/etc/hosts").OK(t) == address("ground")+"\tstore dbhost ground"
		})
		run("rename", "ground", "base").OK(t)
		run("rm", "--link", "/site/db").OK(t)
		if got := run("exec", "site", "cat", "/etc/hosts").OK(t); strings.Contains(got, "\tdb ") || !strings.Contains(got, "\tstore dbhost") {
			t.Errorf("hosts without a link: %q", got)
		}
		if got := run("inspect", "-f", "{{.HostConfig.Links}}", "site").OK(t); got != "[/base:/site/store]" {
			t.Errorf("links: %q", got)
		}
		run("rm", "--link", "site").Fails(t, 1, "Conflict, cannot remove the default link name of the container")
		run("kill", "site", "base").OK(t)
		run("wait", "site", "base").OK(t)
		run("start", "site").Fails(t, 1, "Cannot link to a non running container: /base AS /site/store")
		run("rm", "base").OK(t)
		run("start", "site").OK(t) // who is gone is linked to no more
		run("run", "--link", "nobody:n", image).Fails(t, 125, "could not get container for nobody: No such container: nobody")
		run("run", "--network", "host", "--link", "site", image).Fails(t, 125, "host type networking can't be used with links")
		run("run", "-d", "--name", "h", "--network", "host", image, "sleep", "1000")
		run("run", "--link", "site:a:b", image).Fails(t, 125, "bad format for links: site:a:b")
	})
}

// TestLinksApart: where containers do not reach each other, a link opens what the
// other exposes, to who links to it alone.
func TestLinksApart(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{Flags: []string{"--icc=false"}})
	serving(t, d, "db", "--expose", "7/tcp")
	sleeper(t, d, "other")
	d.Berth("run", "-d", "--name", "web", "--link", "db:store", image, "sleep", "1000").OK(t)
	reaches := func(who string) bool {
		return d.Berth("exec", who, "nc", "-w", "2", address(t, d, "db"), "7").Code == 0
	}
	for _, when := range []string{"at first", "after restarts"} {
		await(t, "who links reaches it "+when, func() bool { return reaches("web") })
		if reaches("other") {
			t.Errorf("%s: who does not link reaches it", when)
		}
		d.Berth("stop", "-t", "0", "db").OK(t)
		d.Kill()
		d.Run()
		sleeper(t, d, "squatter-"+when[:2])
		d.Berth("start", "db").OK(t)
	}
	await(t, "by its name", func() bool { return d.Berth("exec", "web", "nc", "-w", "2", "store", "7").Code == 0 })
	d.Berth("rm", "--link", "/web/store").OK(t)
	if reaches("web") {
		t.Error("it is reached without the link")
	}
}

// TestLinkVariables: as up to Docker 28, when the operator asks for it.
func TestLinkVariables(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{Env: []string{"DOCKER_KEEP_DEPRECATED_LEGACY_LINKS_ENV_VARS=1"}})
	d.Berth("run", "-d", "--name", "db", "--expose", "80", "-e", "A=1", image, "sleep", "1000").OK(t)
	ip := d.Berth("inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "db").OK(t)
	d.Berth("run", "-d", "--name", "web", "--link", "db:store", "-e", "STORE_ENV_A=mine", image, "sh", "-c", "env; sleep 1000").OK(t)
	for what, env := range map[string]func() string{
		"exec": func() string { return d.Berth("exec", "web", "env").OK(t) },
		"logs": func() string { return d.Berth("logs", "web").OK(t) },
	} {
		for _, want := range []string{"STORE_PORT_80_TCP=tcp://" + ip + ":80", "STORE_NAME=/web/store", "STORE_ENV_A=mine"} {
			await(t, what+": "+want, func() bool { return strings.Contains("\n"+env()+"\n", "\n"+want+"\n") })
		}
	}
}

// TestReboot: what should run does, after what it shares something with.
func TestReboot(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	// By name the dependents come first.
	d.Berth("run", "-d", "--name", "z-net", "--ipc", "shareable", "--restart", "on-failure:1", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "y-joins", "--network", "container:z-net", "--restart", "on-failure:1", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "x-ipc", "--ipc", "container:z-net", "--restart", "on-failure:1", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "a-links", "--link", "z-net", "--link", "x-ipc", "--restart", "unless-stopped", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "stopped", "--restart", "unless-stopped", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "once", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--rm", "--name", "passing", image, "sleep", "1000").OK(t)
	d.Berth("stop", "-t", "0", "stopped").OK(t)
	d.Reboot()
	for _, name := range []string{"z-net", "y-joins", "x-ipc", "a-links"} {
		awaitState(t, d, name, "running")
	}
	for _, name := range []string{"stopped", "once"} {
		awaitState(t, d, name, "exited")
	}
	d.Berth("inspect", "passing").Fails(t, 1, "no such object: passing")
	d.Berth("exec", "a-links", "ping", "-c", "1", "z-net").OK(t)
}
