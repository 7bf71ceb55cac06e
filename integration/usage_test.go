package integration

import (
	"regexp"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestDiskUsage reads what takes space, and has all of it removed that nothing uses.
func TestDiskUsage(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "up", "-v", "used:/data", image, "sh", "-c", "head -c 3000000 /dev/zero >/data/f; head -c 2000000 /dev/zero >/g; sleep 600").OK(t)
	d.Berth("run", "--name", "down", "-v", "spare:/data", image, "sh", "-c", "head -c 5000000 /dev/zero >/data/f; head -c 4000000 /dev/zero >/g").OK(t)
	d.Berth("rm", "down").OK(t)
	d.Berth("run", "--name", "ended", image, "sh", "-c", "head -c 6000000 /dev/zero >/g").OK(t)
	await(t, "the file is written", func() bool {
		return d.Berth("exec", "up", "sh", "-c", "test $(stat -c %s /g) = 2000000").Code == 0
	})
	for name, client := range clients(t) {
		t.Run(name, func(t *testing.T) {
			rows := map[string][]string{}
			for line := range strings.Lines(d.Client(client, nil, "system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Active}}|{{.Size}}|{{.Reclaimable}}").OK(t)) {
				f := strings.Split(strings.TrimSpace(line), "|")
				rows[f[0]] = f[1:]
			}
			for kind, want := range map[string]string{
				"Images":        `1\|1\|.*B\|0B \(0%\)`,
				"Containers":    `2\|1\|8\.\d+MB\|6\.\d+MB \(7\d%\)`,
				"Local Volumes": `2\|1\|8\.\d+MB\|5\.\d+MB \(6\d%\)`,
				"Build Cache":   `0\|0\|0B\|0B`,
			} {
				if got := strings.Join(rows[kind], "|"); !regexp.MustCompile("^" + want + "$").MatchString(got) {
					t.Errorf("%s: %s, want %s", kind, got, want)
				}
			}
			verbose := d.Client(client, nil, "system", "df", "-v").OK(t)
			for _, want := range []string{`(?m)^berth-test +latest`, `(?m)^spare +0 +5\.\d+MB`, `(?m)^used +1 +3\.\d+MB`, ` up$`, ` ended$`} {
				if !regexp.MustCompile("(?m)" + want).MatchString(verbose) {
					t.Errorf("-v has no %s:\n%s", want, verbose)
				}
			}
		})
	}
	d.Berth("network", "create", "idle").OK(t)
	report := d.Berth("system", "prune", "-f", "--all", "--volumes").OK(t)
	for _, want := range []string{"Deleted Containers:", "Deleted Networks:\nidle", "Total reclaimed space: 6."} {
		if !strings.Contains(report, want) {
			t.Errorf("system prune says nothing of %q:\n%s", want, report)
		}
	}
	if got := d.Berth("ps", "-a", "--format", "{{.Names}}").OK(t); got != "up" {
		t.Errorf("left: %s", got)
	}
	if got := d.Berth("volume", "ls", "-q").OK(t); got != "spare\nused" {
		t.Errorf("named volumes are kept, but there are %q", got)
	}
}
