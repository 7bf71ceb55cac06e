package net

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"
)

// machine is all that containers' networks could leave: in the kernel, in this
// process, and in the daemon's folders.
func machine(t testing.TB, m *Manager) (lines []string) {
	t.Helper()
	for _, args := range [][]string{
		{"ip", "-o", "link"}, {"ip", "-o", "addr"}, {"ip", "route", "show", "table", "all"}, {"ip", "-6", "route", "show", "table", "all"},
		{"ip", "neigh", "show", "nud", "permanent"}, {"nft", "list", "ruleset"}, {"ss", "-Hltun"},
	} {
		out, err := exec.Command(args[0], args[1:]...).Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		for line := range strings.Lines(string(out)) {
			if !strings.Contains(line, "fe80:") { // the kernel's own, in its own time
				lines = append(lines, args[0]+" "+stable(line))
			}
		}
	}
	for _, root := range []string{m.cfg.ExecRoot, m.cfg.DataRoot} {
		err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				lines = append(lines, "file "+path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, m.cfg.ExecRoot) { // others come and go
			lines = append(lines, "mount "+line)
		}
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		to, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if err != nil {
			continue // the one that read the folder
		}
		n, err := strconv.Atoi(fd.Name())
		if err != nil {
			t.Fatal(err)
		}
		if domain, err := unix.GetsockoptInt(n, unix.SOL_SOCKET, unix.SO_DOMAIN); err == nil && domain == unix.AF_NETLINK {
			continue // of a deletion that goes on behind the answer
		}
		kind, _, _ := strings.Cut(to, "[")
		lines = append(lines, "open "+kind)
	}
	return lines
}

// stable leaves out what changes by itself: a bridge without ports loses its
// carrier, and lifetimes run.
func stable(line string) string {
	line = strings.TrimSpace(line)
	for _, word := range []string{"NO-CARRIER,", ",LOWER_UP", " linkdown", " state DOWN", " state UP", " state UNKNOWN"} {
		line = strings.ReplaceAll(line, word, "")
	}
	if i := strings.Index(line, " expires "); i >= 0 {
		line = line[:i]
	}
	return line
}

// same fails the test with what is more, and what is less, than before. The
// kernel ends deletions behind the answer (bridge.Deleter), so it looks again.
func same(t testing.TB, m *Manager, before []string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute) // the bound of a hang
	for {
		count := map[string]int{}
		for _, l := range machine(t, m) {
			count[l]++
		}
		for _, l := range before {
			count[l]--
		}
		maps.DeleteFunc(count, func(_ string, n int) bool { return n == 0 })
		if len(count) == 0 {
			return
		}
		if time.Now().After(deadline) {
			for l, n := range count {
				t.Errorf("%+d: %s", n, l)
			}
			return
		}
	}
}

// cyclesEnv is how many containers come and go in TestCycles, instead of a few.
const cyclesEnv = "BERTH_TEST_CYCLES"

// Containers come and go, several at a time, also by starts that fail, and the
// machine is as it was after the first.
func TestCycles(t *testing.T) {
	lan := nettest.NewHost(t, "lan", "192.0.2.1/24", "192.0.2.9/24")
	m := open(t)
	start(t, m, "stays", portMap(t, "8080:80/tcp"), "tcp/:80")
	const workers = 4
	rounds := 25
	if n, err := strconv.Atoi(os.Getenv(cyclesEnv)); err == nil {
		rounds = n / workers
	}
	run := func(rounds int) {
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				for i := range rounds {
					if err := cycle(m, w, i); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	run(5) // what is made once: caches, threads
	before := machine(t, m)
	run(rounds)
	same(t, m, before)
	if got := ask(t, lan.Path, "tcp", "192.0.2.1:8080"); got != "stays sees 192.0.2.9" {
		t.Errorf("the container that stays: %q", got)
	}
}

// cycle is one container of a worker; two in five do not start.
func cycle(m *Manager, worker, i int) error {
	id := fmt.Sprintf("w%d-%d", worker, i)
	bindings := network.PortMap{
		network.MustParsePort("90/tcp"):  {{HostPort: fmt.Sprint(9090 + worker)}, {HostIP: netip.MustParseAddr("127.0.0.1")}},
		network.MustParsePort("92/udp"):  {{}},
		network.MustParsePort("93/sctp"): {{HostIP: netip.MustParseAddr("192.0.2.1"), HostPort: fmt.Sprint(93 + worker)}},
	}
	wanted := onBridge
	fails := false
	switch i % 5 {
	case 3: // a port is another's
		bindings[network.MustParsePort("80/tcp")], fails = []network.PortBinding{{HostPort: "8080"}}, true
	case 4: // the address is another's
		wanted, fails = map[string]*network.EndpointSettings{"bridge": {IPAMConfig: &network.EndpointIPAMConfig{
			IPv4Address: netip.MustParseAddr("172.17.0.1")}}}, true
	}
	_, _, _, err := m.Setup(context.Background(), id, id, wanted, bindings)
	if fails != (err != nil) {
		return fmt.Errorf("container %s, which was to fail: %v, did: %w", id, fails, err)
	}
	return m.Teardown(context.Background(), id)
}
