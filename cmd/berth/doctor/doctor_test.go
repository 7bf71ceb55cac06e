package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/version"
)

var all = []string{"cgroup", "ipc", "mnt", "net", "pid", "uts"}

// healthy is a host without a fault; each case below has one.
func healthy() host {
	return host{
		root: true, kernel: "6.1.0-13-amd64", filesystems: []string{"ext4", "overlay"}, namespaces: all, seccomp: true,
		cgroup: cgroups{version: 2, controllers: []string{"cpu", "cpuset", "memory", "pids", "io"}}, forwarding: "1", forward: true,
		disk: disk{path: "/d", total: 100 << 30, free: 50 << 30, inodes: 1000, freeInodes: 500},
	}
}

func TestCheckHost(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*host)
		check  string
		status Status
		detail string
	}{
		{"nothing", func(*host) {}, "", OK, ""},
		{"not root", func(h *host) { h.root = false }, "rights", Warning, "not root"},
		{"old kernel", func(h *host) { h.kernel = "5.9.1" }, "kernel", Problem, "5.9.1"},
		{"very old kernel", func(h *host) { h.kernel = "4.19" }, "kernel", Problem, "4.19"},
		{"least kernel", func(h *host) { h.kernel = "5.10-rc1" }, "kernel", OK, ""},
		{"no release", func(h *host) { h.kernel = "plan9" }, "kernel", Warning, "plan9"},
		{"no network namespaces", func(h *host) { h.namespaces = []string{"cgroup", "ipc", "mnt", "pid", "uts"} }, "namespaces", Problem, "net"},
		{"no overlayfs", func(h *host) { h.filesystems = []string{"ext4"} }, "overlayfs", Problem, ""},
		{"no seccomp", func(h *host) { h.seccomp = false }, "seccomp", Warning, ""},
		{"no cgroups", func(h *host) { h.cgroup = cgroups{} }, "cgroups", Problem, "no cgroups"},
		{"cgroups 1", func(h *host) {
			h.cgroup = cgroups{version: 1, controllers: []string{"cpu", "cpuacct", "cpuset", "memory", "devices", "pids", "blkio", "freezer"}}
		}, "cgroups", OK, "version 1"},
		{"cgroups 1 without devices", func(h *host) { h.cgroup = cgroups{version: 1, controllers: []string{"cpu"}} }, "cgroups", Problem, "without devices"},
		{"cgroups 2 without memory", func(h *host) { h.cgroup.controllers = []string{"cpu", "cpuset", "pids", "io"} }, "cgroups", Warning, "without memory"},
		{"no nftables", func(h *host) { h.nftables = errors.New("not supported") }, "nftables", Problem, "not supported"},
		{"no rights to nftables", func(h *host) { h.root, h.nftables = false, errors.New("denied") }, "nftables", Skipped, "denied"},
		{"forwarding is off", func(h *host) { h.forwarding = "0" }, "forwarding", OK, "turns it on"},
		{"forwarding was turned off", func(h *host) { h.forwarding, h.bridged = "0", true }, "forwarding", Problem, "since the daemon started"},
		{"forwarding stays off", func(h *host) { h.forwarding, h.forward = "0", false }, "forwarding", Warning, "this host only"},
		{"full disk", func(h *host) { h.disk.free = 1 << 30 }, "disk", Warning, "1GiB of 100GiB"},
		{"no inodes", func(h *host) { h.disk.freeInodes = 3 }, "disk", Warning, "3 of 1000 inodes"},
		{"inodes without a bound", func(h *host) { h.disk.inodes, h.disk.freeInodes = 0, 0 }, "disk", OK, ""},
		{"on overlayfs", func(h *host) { h.disk.kind = "overlayfs" }, "disk", Problem, "overlayfs"},
		{"no disk", func(h *host) { h.disk.err = errors.New("stale handle") }, "disk", Problem, "stale handle"},
		{"no shim", func(h *host) { h.missing = []string{"containerd-shim-berth-v2"} }, "programs", Problem, "containerd-shim-berth-v2"},
		{"no git", func(h *host) { h.optional = []string{"git"} }, "programs", Warning, "git"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := healthy()
			c.change(&h)
			for _, r := range checkHost(h) {
				switch {
				case r.Check == c.check && (r.Status != c.status || !strings.Contains(r.Detail, c.detail)):
					t.Errorf("got %+v, want %s with %q", r, c.status, c.detail)
				case r.Check != c.check && r.Status == Problem:
					t.Errorf("also %+v", r)
				}
				if advised := r.Status == Problem || r.Status == Warning; advised != (r.Advice != "") {
					t.Errorf("%+v: what to do?", r)
				}
			}
		})
	}
}

const (
	one = "1111111111111111111111111111111111111111111111111111111111111111"
	two = "2222222222222222222222222222222222222222222222222222222222222222"
)

// busy is an engine with one container that runs, one that does not and a build.
func busy() engine {
	return engine{
		version: version.Version, containers: map[string]bool{one: true, two: false}, folders: []string{one, two}, steps: []string{"step"},
		sandboxes: []string{one, "build-x", "step"}, pins: []string{one, "build-x"}, shims: map[int]string{7: one}, tasks: []string{one},
		mounts:   []string{"/e/netns/" + one, "/e/task/" + one + "/rootfs", "/d/tmp/buildkit1", "/d/volumes/" + two + "/_data", "/d/volumes/.subpaths/" + one + "/0"},
		networks: []bridge{{network: "bridge", name: "berth0", table: "berth", link: true, firewall: true}},
		veths:    []veth{{name: "veth1", bridge: "berth0", owned: true}}, elements: []element{{table: "berth", set: "ports4", owner: one}},
		records: []string{one, two}, snapshots: []string{one, two},
	}
}

func TestCheckEngine(t *testing.T) {
	down := errors.New("cannot connect")
	for _, c := range []struct {
		name   string
		change func(*engine)
		want   []string // of what is not ok: check, status, part of the detail
	}{
		{"nothing", func(*engine) {}, nil},
		{"the daemon is dead", func(e *engine) { e.daemon, e.containerd, e.containers = down, down, nil },
			[]string{"daemon problem 1 containers run without it", "containerd skipped", "leaked namespaces problem build-x"}},
		{"nothing runs", func(e *engine) {
			*e = engine{daemon: down, containerd: down, networks: []bridge{{network: "n", name: "br"}}}
		},
			[]string{"daemon problem cannot connect", "containerd skipped", "networks skipped"}},
		{"another version", func(e *engine) { e.version = "0.0.1" }, []string{"daemon warning 0.0.1"}},
		{"containerd is dead", func(e *engine) { e.containerd = context.DeadlineExceeded }, []string{"containerd problem no answer in time"}},
		{"a dead shim", func(e *engine) { e.shims = nil }, []string{"shims problem 111111111111 has no shim any more"}},
		{"a dead shim without a daemon", func(e *engine) { e.daemon, e.containerd, e.containers, e.shims = down, down, nil, nil },
			[]string{"daemon problem", "containerd skipped", "shims problem 111111111111", "leaked namespaces problem build-x", "networks skipped"}},
		{"no bridge", func(e *engine) { e.networks[0].link = false }, []string{"networks problem bridge berth0 of network bridge"}},
		{"no firewall", func(e *engine) { e.networks[0].firewall = false }, []string{"networks problem firewall table berth of network bridge"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := busy()
			c.change(&e)
			faults := suspects(e)
			got := slices.Concat(checkEngine(e), faults, innocent(e, faults))
			compare(t, slices.DeleteFunc(got, func(r Result) bool { return r.Status == OK }), c.want)
			if len(got) < 5 {
				t.Errorf("only %+v", got)
			}
		})
	}
}

func TestLeaks(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*engine)
		want   []string
	}{
		{"nothing", func(*engine) {}, nil},
		{"without a daemon", func(e *engine) {
			e.daemon, e.containers = errors.New("dead"), nil
			e.pins = []string{one}
			e.sandboxes = e.pins
		}, nil},
		{"namespace", func(e *engine) { e.pins = append(e.pins, two) }, []string{"leaked namespaces problem network namespace of 222222222222"}},
		{"namespace of no container", func(e *engine) { delete(e.containers, two); e.pins = append(e.pins, two) }, []string{"leaked namespaces problem 222222222222"}},
		{"record", func(e *engine) { e.sandboxes = append(e.sandboxes, two) }, []string{"leaked networks problem 222222222222"}},
		{"mount", func(e *engine) { e.mounts = append(e.mounts, "/e/task/"+two+"/rootfs") }, []string{"leaked mounts problem /e/task/" + two + "/rootfs"}},
		{"part of a volume", func(e *engine) { e.mounts = append(e.mounts, "/d/volumes/.subpaths/"+two+"/0") }, []string{"leaked mounts problem"}},
		{"link", func(e *engine) { e.veths[0].owned = false }, []string{"leaked links problem veth1 at berth0"}},
		{"rule", func(e *engine) { e.elements[0].owner = two }, []string{"leaked firewall rules problem element of berth ports4 of 222222222222"}},
		{"shim", func(e *engine) { e.shims[8] = two }, []string{"leaked shims problem PID 8 of 222222222222"}},
		{"record of containerd", func(e *engine) { e.records = append(e.records, strings.Repeat("3", 64)) }, []string{"leaked records problem 333333333333"}},
		{"snapshot", func(e *engine) { e.snapshots = append(e.snapshots, strings.Repeat("3", 64)) }, []string{"leaked snapshots problem 333333333333"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := busy()
			c.change(&e)
			compare(t, leaks(e), c.want)
		})
	}
}

// compare wants each result to have the words of its line.
func compare(t *testing.T, got []Result, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %+v, want %q", got, want)
	}
	for i, r := range got {
		line := r.Check + " " + string(r.Status) + " " + r.Detail
		for _, word := range strings.Fields(want[i]) {
			if !strings.Contains(line, word) {
				t.Errorf("got %q, want %q", line, want[i])
			}
		}
		if (r.Status == Problem || r.Status == Warning) && r.Advice == "" {
			t.Errorf("%+v: what to do?", r)
		}
	}
}

func TestStill(t *testing.T) {
	a, b, c := Result{Detail: "a"}, Result{Detail: "b"}, Result{Detail: "c"}
	if got := still([]Result{a, b}, []Result{c, b}); !slices.Equal(got, []Result{b}) {
		t.Errorf("got %v", got)
	}
}

func TestFormats(t *testing.T) {
	results := []Result{{Check: "a", Status: OK, Detail: "x"}, {Check: "b", Status: Problem, Detail: "y\x1b[2J", Advice: "do"}, {Check: "c", Status: Problem, Detail: "z", Advice: "do"}}
	var out bytes.Buffer
	if err := table(&out, results); err != nil {
		t.Fatal(err)
	}
	if want := "CHECK     STATUS    DETAIL\na         ok        x\nb         problem   y?[2J\nc         problem   z\n\nWhat to do:\n  b: do\n"; out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
	out.Reset()
	if err := lines(&out, results); err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(&out)
	for _, want := range results {
		var got Result
		if err := dec.Decode(&got); err != nil || got != want {
			t.Errorf("got %+v, %v", got, err)
		}
	}
}

func TestShimOf(t *testing.T) {
	args := func(s string) []string { return strings.Split(s, " ") }
	for line, want := range map[string]string{
		"/x/containerd-shim-berth-v2 -namespace berth -id a -address /s ":   "a",
		"/x/containerd-shim-berth-v2 -namespace other -id a -address /s":    "",
		"/x/containerd-shim-berth-v2 -namespace berth -id a -address /t":    "",
		"/x/containerd-shim-berth-v2 -namespace berth -address /s -id":      "",
		"/x/containerd-shim-berth-task -namespace berth -id a -address /s ": "a",
		"sh -namespace berth -id a -address /s":                             "",
		"":                                                                  "",
	} {
		if got, ok := shimOf(args(line), "/s", "berth"); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q, %v", line, got, ok)
		}
	}
}

func FuzzParseNetwork(f *testing.F) {
	f.Add([]byte(`{"name":"n","plugins":[{"type":"berth-bridge","bridge":"br-1"},{"type":"berth-firewall","table":"berth"}]}`))
	f.Add([]byte(`{"plugins":[{"type":"berth-bridge","bridge":"../x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, ok := parseNetwork(b); ok && (strings.ContainsAny(got.name, "/ ") || len(got.name) > 15 || got.name == "..") {
			t.Errorf("%q", got.name)
		}
	})
}
