package integration

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestReload changes daemon.json of a running daemon.
func TestReload(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "web", image, "sleep", "600").OK(t)
	hangUp := func(json string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(d.Root, "daemon.json"), []byte(json), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(d.Pid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	labels := func() string {
		return d.Berth("info", "-f", "{{.Labels}} {{.RegistryConfig.InsecureRegistryCIDRs}}").OK(t)
	}
	hangUp(`{"labels":["rack=7"],"insecure-registries":["192.0.2.0/24"],"default-shm-size":"8m","max-concurrent-downloads":7}`)
	await(t, "the labels change", func() bool {
		return strings.HasPrefix(labels(), "[rack=7]") && strings.Contains(labels(), "192.0.2.0/24")
	})
	await(t, "what has to wait is named", func() bool {
		return strings.Contains(d.Log(), "these settings change with the next start") && strings.Contains(d.Log(), "settings=default-shm-size")
	})
	// It still waits when the file is read again.
	hangUp(`{"labels":["rack=7"],"insecure-registries":["192.0.2.0/24"],"default-shm-size":"8m"}`)
	await(t, "what has to wait is named again", func() bool {
		return strings.Count(d.Log(), "settings=default-shm-size") == 2
	})
	await(t, "the event", func() bool {
		return d.Berth("events", "--since", "10m", "--until", "0s", "--filter", "type=daemon", "--format", "{{.Action}} {{.Actor.Attributes.labels}}").OK(t) == "reload rack=7\nreload rack=7"
	})
	for i, bad := range []string{`{"labels":["rack=8"],"nope":1}`, `{`, `{"labels":7}`} {
		hangUp(bad)
		await(t, "a mistake is told", func() bool { return strings.Count(d.Log(), "the configuration is not reloaded") > i })
	}
	if got := labels(); !strings.HasPrefix(got, "[rack=7]") {
		t.Errorf("after a mistake: %s", got)
	}
	if got := d.Berth("inspect", "-f", "{{.State.Running}}", "web").OK(t); got != "true" {
		t.Errorf("running: %s", got)
	}
}
