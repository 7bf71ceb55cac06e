package integration

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestManyStarts starts containers at once, and removes them at once.
func TestManyStarts(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	const count = 16
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() {
			r := d.Berth("run", "-d", "--name", fmt.Sprint("many", i), "-p", "127.0.0.1::80", image, "httpd", "-f", "-h", "/var/www")
			if r.Code != 0 {
				t.Errorf("container %d: %s", i, r.Stderr)
			}
		})
	}
	all.Wait()
	ids := strings.Fields(d.Berth("ps", "-q").OK(t))
	if len(ids) != count {
		t.Fatalf("%d containers run, want %d", len(ids), count)
	}
	addresses, ports := map[string]bool{}, map[string]bool{}
	for _, id := range ids {
		addresses[address(t, d, id)] = true
		ports[d.Berth("port", id, "80").OK(t)] = true
	}
	if len(addresses) != count || len(ports) != count {
		t.Errorf("%d addresses and %d ports of %d containers", len(addresses), len(ports), count)
	}
	d.Berth(append([]string{"rm", "-f"}, ids...)...).OK(t)
	if left := d.Berth("ps", "-aq").OK(t); left != "" {
		t.Errorf("containers left: %s", left)
	}
	awaitClean(t, d)
}

// TestShortRuns runs programs that write and are gone: not a byte is lost, in
// what the client sees and in the log.
func TestShortRuns(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	const runs, workers = 100, 4
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := w; i < runs; i += workers {
				want := fmt.Sprint("first ", i, strings.Repeat(" middle", i*13), " last\n")
				// No newline at the end of every other.
				want = want[:len(want)-i%2]
				r := d.Berth("run", "--rm", "--network", "none", "-e", "TEXT="+want, image, "sh", "-c", `printf %s "$TEXT"; printf %s "$TEXT" >&2`)
				if r.Code != 0 || r.Stdout != want || r.Stderr != want {
					t.Errorf("run %d: code %d\nwant   %q\nstdout %q\nstderr %q", i, r.Code, want, r.Stdout, r.Stderr)
				}
			}
		})
	}
	all.Wait()
	d.Berth("run", "--name", "logged", "--network", "none", image, "seq", "1", "5000").OK(t)
	if got := strings.Fields(d.Berth("logs", "logged").OK(t)); len(got) != 5000 || got[4999] != "5000" {
		t.Errorf("the log has %d lines", len(got))
	}
}

// TestManyClients attaches clients to one container at once: each sees all.
func TestManyClients(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	const clients, last = 8, 20000
	d.Berth("create", "-i", "--name", "shared", image, "sh", "-c", "read go; seq 1 "+strconv.Itoa(last)).OK(t)
	d.Berth("start", "shared").OK(t)
	var all sync.WaitGroup
	outputs := make([]string, clients)
	for i := range clients {
		all.Go(func() {
			r := d.Berth("attach", "--no-stdin", "shared")
			outputs[i] = r.Stdout
			if r.Code != 0 {
				t.Errorf("client %d: code %d: %s", i, r.Code, r.Stderr)
			}
		})
	}
	attached := func() bool {
		return strings.Count(d.Berth("events", "--since", "1h", "--until", "0s", "--filter", "event=attach", "--format", "{{.Action}}").OK(t), "attach") == clients
	}
	await(t, "all clients are attached", attached)
	if r := d.Client(harness.BerthCLI(), strings.NewReader("go\n"), "attach", "shared"); r.Code != 0 {
		t.Errorf("the client that types: %s", r.Stderr)
	}
	all.Wait()
	var want bytes.Buffer
	for i := range last {
		fmt.Fprintln(&want, i+1)
	}
	for i, got := range outputs {
		if got != want.String() {
			t.Errorf("client %d got %d bytes, want %d", i, len(got), want.Len())
		}
	}
}
