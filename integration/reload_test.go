package integration

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// hangUp has a daemon read another daemon.json.
func hangUp(t *testing.T, d *harness.Daemon, json string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.Root, "daemon.json"), []byte(json), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(d.Pid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// TestReload changes daemon.json of a running daemon.
func TestReload(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "web", image, "sleep", "600").OK(t)
	labels := func() string {
		return d.Berth("info", "-f", "{{.Labels}} {{.RegistryConfig.InsecureRegistryCIDRs}}").OK(t)
	}
	hangUp(t, d, `{"labels":["rack=7"],"insecure-registries":["192.0.2.0/24"],"default-shm-size":"8m","max-concurrent-downloads":7}`)
	await(t, "the labels change", func() bool {
		return strings.HasPrefix(labels(), "[rack=7]") && strings.Contains(labels(), "192.0.2.0/24")
	})
	await(t, "what has to wait is named", func() bool {
		return strings.Contains(d.Log(), "these settings change with the next start") && strings.Contains(d.Log(), "settings=default-shm-size")
	})
	// It still waits when the file is read again.
	hangUp(t, d, `{"labels":["rack=7"],"insecure-registries":["192.0.2.0/24"],"default-shm-size":"8m"}`)
	await(t, "what has to wait is named again", func() bool {
		return strings.Count(d.Log(), "settings=default-shm-size") == 2
	})
	await(t, "the event", func() bool {
		return d.Berth("events", "--since", "10m", "--until", "0s", "--filter", "type=daemon", "--format", "{{.Action}} {{.Actor.Attributes.labels}}").OK(t) == "reload rack=7\nreload rack=7"
	})
	for i, bad := range []string{`{"labels":["rack=8"],"nope":1}`, `{`, `{"labels":7}`, `{"labels":["rack=8"],"default-network-opts":{"bridge":{"com.docker.network.driver.mtu":"x"}}}`, `{"labels":["rack=8"],"storage-driver":"nosuch"}`} {
		hangUp(t, d, bad)
		await(t, "a mistake is told", func() bool { return strings.Count(d.Log(), "the configuration is not reloaded") > i })
	}
	if got := labels(); !strings.HasPrefix(got, "[rack=7]") {
		t.Errorf("after a mistake: %s", got)
	}
	if got := d.Berth("inspect", "-f", "{{.State.Running}}", "web").OK(t); got != "true" {
		t.Errorf("running: %s", got)
	}
}

// TestReloadRuntimes: what is created after a reload has the runtimes of the new
// configuration, and what ran before goes on with its own.
func TestReloadRuntimes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() // goes after the daemon, which ends containers by these
	d := start(t, harness.Options{})
	for _, name := range []string{"one", "two"} {
		script := "#!/bin/sh\necho >>" + filepath.Join(dir, name+".used") + "\nexec " + filepath.Join(harness.Bin(), "runc") + " \"$@\"\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	reloads := 0
	reload := func(json string) {
		t.Helper()
		hangUp(t, d, json)
		reloads++
		await(t, "the reload", func() bool {
			return d.Berth("events", "--since", "10m", "--until", "0s", "--filter", "event=reload", "--format", "-").OK(t) == strings.TrimSpace(strings.Repeat("-\n", reloads))
		})
	}
	used := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name+".used")); return err == nil }
	d.Berth("create", "--runtime", "one", image).Fails(t, 1, "unknown or invalid runtime name: one")
	reload(`{"runtimes":{"one":{"path":"` + dir + `/one"},"two":{"path":"` + dir + `/two"}},"default-runtime":"two","features":{"buildkit":true}}`)
	if got := d.Berth("info", "-f", "{{.DefaultRuntime}} {{len .Runtimes}} {{(index .Runtimes \"one\").Path}}").OK(t); got != "two 3 "+dir+"/one" {
		t.Errorf("info: %s", got)
	}
	d.Berth("run", "-d", "--name", "first", "--runtime", "one", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "second", image, "sleep", "1000").OK(t)
	if !used("one") || !used("two") {
		t.Errorf("runtimes that were used: one %v, two %v", used("one"), used("two"))
	}
	reload(`{}`)
	if got := d.Berth("exec", "second", "echo", "here").OK(t); got != "here" {
		t.Errorf("exec: %s", got)
	}
	d.Berth("run", "--rm", "--runtime", "two", image, "true").Fails(t, 125, "unknown or invalid runtime name: two")
	if got := d.Berth("run", "-d", "--name", "third", image, "sleep", "1000").OK(t); d.Berth("inspect", "-f", "{{.HostConfig.Runtime}}", got).OK(t) != "runc" {
		t.Errorf("%s has another runtime than the default", got)
	}
	d.Berth("stop", "-t", "0", "first").OK(t)
	d.Berth("start", "first").Fails(t, 1, "unknown or invalid runtime name: one")
	if got := d.Berth("inspect", "-f", "{{.State.Status}}", "second").OK(t); got != "running" {
		t.Errorf("second is %s", got)
	}
	if strings.Contains(d.Log(), "change with the next start") {
		t.Errorf("something waits for the next start:\n%s", d.Log())
	}
	reload(`{"features":{"buildkit":true,"cdi":false}}`)
	if !strings.Contains(d.Log(), "settings=features") {
		t.Error("features do not wait for the next start")
	}
}
