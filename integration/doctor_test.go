package integration

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	ctrclient "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// doctor asks for what is not in order, a line each: check, status, detail.
func doctor(t *testing.T, d *harness.Daemon) (code int, faults []string) {
	t.Helper()
	r := d.Berth("doctor", "--format", "json", "--config-file", filepath.Join(d.Root, "daemon.json"), "--data-root", d.Data(), "--exec-root", d.Exec())
	dec := json.NewDecoder(strings.NewReader(r.Stdout))
	seen := 0
	for dec.More() {
		var f struct{ Check, Status, Detail, Advice string }
		if err := dec.Decode(&f); err != nil {
			t.Fatalf("%v: %s%s", err, r.Stdout, r.Stderr)
		}
		// The host's own, whatever it has.
		if seen++; seen > 10 && f.Status != "ok" {
			faults = append(faults, f.Check+" "+f.Status+" "+f.Detail)
			if f.Status == "problem" && f.Advice == "" {
				t.Errorf("%s: what to do?", f.Detail)
			}
		}
	}
	if seen < 14 {
		t.Fatalf("only %d checks: %s%s", seen, r.Stdout, r.Stderr)
	}
	return r.Code, faults
}

// faultsName wants each of the words in some line.
func faultsName(t *testing.T, faults []string, want ...string) {
	t.Helper()
	all := strings.Join(faults, "\n")
	for _, w := range want {
		if !strings.Contains(all, w) {
			t.Errorf("not named: %s in\n%s", w, all)
		}
	}
}

// TestDoctor leaves things on the host that no container owns, takes others away,
// and has each of them named; what it advises mends them.
func TestDoctor(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("network", "create", "own").OK(t)
	d.Berth("run", "-d", "--name", "web", "-p", "127.0.0.1::80", image, "sleep", "1000").OK(t)
	d.Berth("run", "-d", "--name", "other", "--network", "own", image, "sleep", "1000").OK(t)
	d.Berth("create", image).OK(t)
	if code, faults := doctor(t, d); code != 0 || len(faults) > 0 {
		t.Fatalf("all is well: %d %q", code, faults)
	}
	if got := d.Berth("doctor", "--data-root", d.Data(), "--exec-root", d.Exec()).OK(t); !strings.HasPrefix(got, "CHECK") {
		t.Errorf("table: %s", got)
	}
	d.Berth("doctor", "--format", "xml").Fails(t, 1, `invalid format "xml"`)

	gone := strings.Repeat("7", 64)
	leak(t, d, gone)
	code, faults := doctor(t, d)
	faultsName(t, faults, "network namespace of 777777777777", "mount "+d.Exec(), "at "+d.Bridge+", with no container at its end",
		"open4 of 777777777777", "snapshot of 777777777777", "shims problem")
	if code != 1 || len(faults) != 6 {
		t.Errorf("code %d: %q", code, faults)
	}
	d.Kill()
	d.Run()
	d.Berth("ps").OK(t)
	must(t, "ip", "link", "del", "bt7"+d.Bridge[2:]) // which the advice for links is
	if _, faults = doctor(t, d); len(faults) > 0 {
		t.Errorf("after a restart: %q", faults)
	}
}

// must runs a program of the host.
func must(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// leak makes what a container leaves that is not cleaned up after.
func leak(t *testing.T, d *harness.Daemon, id string) {
	t.Helper()
	pin := filepath.Join(d.Exec(), "netns", id)
	if err := os.WriteFile(pin, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "unshare", "--net="+pin, "true")
	rootfs := filepath.Join(d.Exec(), "containerd", "io.containerd.runtime.v2.task", d.Namespace(), id, "rootfs")
	if err := os.MkdirAll(rootfs, 0o700); err != nil {
		t.Fatal(err)
	}
	must(t, "mount", "-t", "tmpfs", "none", rootfs)
	link := "bt7" + d.Bridge[2:]
	must(t, "ip", "link", "add", link, "type", "veth", "peer", "name", "bt8"+d.Bridge[2:])
	must(t, "ip", "link", "set", link, "master", d.Bridge)
	must(t, "nft", "add", "element", "inet", "berth-"+d.Bridge, "open4", `{ `+d.Subnet+`.99 . tcp . 80 comment "`+id+`/eth0" }`)
	c, err := ctrclient.New(d.Containerd())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := namespaces.WithNamespace(context.Background(), d.Namespace())
	labels := snapshots.WithLabels(map[string]string{"berth-engine/container": "true", "containerd.io/gc.root": "now"})
	if _, err := c.SnapshotService("overlayfs").Prepare(ctx, id, "", labels); err != nil {
		t.Fatal(err)
	}
}

// TestDoctorOfWhatIsMissing takes away what containers need.
func TestDoctorOfWhatIsMissing(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("network", "create", "own").OK(t)
	d.Berth("run", "-d", "--name", "web", "--restart", "always", image, "sleep", "1000").OK(t)
	id := d.Berth("inspect", "-f", "{{.Id}}", "web").OK(t)
	own := "br-" + d.Berth("network", "inspect", "-f", "{{.Id}}", "own").OK(t)[:12]
	must(t, "ip", "link", "del", own)
	code, faults := doctor(t, d)
	faultsName(t, faults, "bridge "+own+" of network own")
	if code != 1 || len(faults) != 1 {
		t.Errorf("code %d: %q", code, faults)
	}

	d.Kill()
	code, faults = doctor(t, d)
	faultsName(t, faults, "daemon problem", "1 containers run without it", "containerd skipped")
	if code != 1 {
		t.Errorf("code %d: %q", code, faults)
	}
	shim := 0
	for _, p := range processesOf(t, "containerd-shim-berth-v2", id) {
		shim = p
	}
	kill(t, strconv.Itoa(shim))
	await(t, "the shim ends", func() bool { return len(processesOf(t, "containerd-shim-berth-v2", id)) == 0 })
	_, faults = doctor(t, d)
	faultsName(t, faults, id[:12]+" has no shim any more")

	d.Run()
	await(t, "the container runs again", func() bool {
		return d.Berth("inspect", "-f", "{{.State.Running}}", "web").OK(t) == "true"
	})
	if code, faults = doctor(t, d); code != 0 || len(faults) > 0 {
		t.Errorf("after the restart: %d %q", code, faults)
	}
}

// processesOf are those whose arguments have all the words.
func processesOf(t *testing.T, words ...string) (pids []int) {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
next:
	for _, f := range found {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it ended
		}
		for _, w := range words {
			if !strings.Contains(string(b), w) {
				continue next
			}
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
