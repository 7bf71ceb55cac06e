package net

import (
	"context"
	"fmt"
	stdnet "net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
	"golang.org/x/sys/unix"
)

// obstinate installs an operator's network "lab" with a plugin that takes nothing
// away for as long as the file that it returns is there.
func obstinate(t *testing.T) (file string, config func(*Config)) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "stuck")
	for name, text := range map[string]string{
		"lab.conflist": fmt.Sprintf(`{"cniVersion":"1.1.0","name":"lab","plugins":[{"type":"berth-bridge","bridge":"lab0",
			"ipam":{"dataDir":%q,"subnets":[{"subnet":"10.77.0.0/24","gateway":"10.77.0.1"}]}},{"type":"obstinate"}]}`, filepath.Join(dir, "leases")),
		"obstinate": fmt.Sprintf(`#!/bin/sh
conf=$(cat)
case $CNI_COMMAND in
VERSION) echo '{"cniVersion":"1.1.0","supportedVersions":["1.1.0"]}';;
ADD) echo "$conf" | sed 's/.*"prevResult"://; s/,"type":"obstinate".*//';;
DEL) if [ -e %s ]; then echo '{"cniVersion":"1.1.0","code":11,"msg":"not now"}'; exit 1; fi;;
esac
`, file),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return file, func(c *Config) { c.CNIConf, c.CNIPath = dir, []string{dir} }
}

// A disconnection that fails is ended by whatever is asked for next.
func TestDisconnectFails(t *testing.T) {
	stuck, config := obstinate(t)
	m := open(t, config)
	key, _ := setup(t, m, "web", on("bridge"))
	listen(t, key, "tcp/:80", "web")
	for _, next := range []struct {
		name string
		do   func() error
		want []string // networks afterwards
	}{
		{"disconnect", func() error { _, _, err := m.Disconnect(t.Context(), "web", "lab", nil); return err }, []string{"bridge"}},
		{"connect", func() error { _, _, err := m.Connect(t.Context(), "web", "lab", nil, nil); return err }, []string{"bridge", "lab"}},
		{"rename", func() error { _, err := m.Rename(t.Context(), "web", "site", nil); return err }, []string{"bridge"}},
		{"boot", func() error {
			m = reopen(t, m)
			return m.Reconcile(t.Context(), []string{"web"})
		}, []string{"bridge"}},
	} {
		t.Run(next.name, func(t *testing.T) {
			if s, _ := m.sandboxes.Get("web"); s.On("lab") < 0 {
				connect(t, m, "web", "lab", nil, nil)
			}
			if err := os.WriteFile(stuck, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := m.Disconnect(t.Context(), "web", "lab", nil); err == nil || !strings.Contains(err.Error(), "not now") {
				t.Fatalf("disconnect: %v", err)
			}
			if n, err := m.Inspect("lab", false, ""); err != nil || len(n.Containers) > 0 {
				t.Errorf("inspect shows who leaves: %+v, %v", n.Containers, err)
			}
			if err := next.do(); err == nil || !strings.Contains(err.Error(), "not now") {
				t.Errorf("while it cannot be ended: %v", err)
			}
			if err := os.Remove(stuck); err != nil {
				t.Fatal(err)
			}
			if err := next.do(); err != nil {
				t.Error(err)
			}
			_, made, _, _ := m.Restore("web")
			var got []string
			for name := range made {
				got = append(got, name)
			}
			if slices.Sort(got); !slices.Equal(got, next.want) {
				t.Errorf("on %v, want %v", got, next.want)
			}
			if e := made["lab"]; e != nil {
				expect(t, hostNetNS, "tcp", e.IPAddress.String()+":80", "web sees 10.77.0.1")
			}
		})
	}
	teardown(t, m, "web")
}

// holders are what shims are to ports: they hold sockets, and forward nothing.
type holders struct {
	dir string

	mu      sync.Mutex // guards what follows
	fds     map[string][]int
	refuses error // what is answered to news of names
}

func holding(t *testing.T) (*holders, func(*Config)) {
	h := &holders{dir: t.TempDir(), fds: map[string][]int{}}
	return h, func(c *Config) {
		c.Holder = func(id string) string { return filepath.Join(h.dir, id) }
		c.Proxy = true
	}
}

// serve is the shim of id.
func (h *holders) serve(t *testing.T, id string) {
	t.Helper()
	l, err := stdnet.Listen("unix", filepath.Join(h.dir, id))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(); h.release(id) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			q, err := streams.ReadRequest(c)
			if err == nil {
				err = h.take(c.(*stdnet.UnixConn), id, q)
			}
			_ = streams.WriteResponse(c, streams.NewResponse(err))
			_ = c.Close()
		}
	}()
}

func (h *holders) take(c *stdnet.UnixConn, id string, q streams.Request) error {
	if q.Ports == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.refuses
	}
	if q.Ports.Release {
		h.release(id)
		return nil
	}
	fds, err := streams.ReadPorts(c, len(q.Ports.Take))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fds[id] = append(h.fds[id], fds...)
	return err
}

func (h *holders) release(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, fd := range h.fds[id] {
		_ = unix.Close(fd)
	}
	delete(h.fds, id)
}

func (h *holders) count(id string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.fds[id])
}

func (h *holders) refuse(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuses = err
}

// A connection that fails when the ports have moved already leaves them where they
// were: published, held by the shim and by nobody else, and none that were not.
func TestConnectFails(t *testing.T) {
	shims, config := holding(t)
	m := open(t, config)
	create(t, m, network.CreateRequest{Name: "app", IPAM: subnets("10.66.2.0/24")})
	create(t, m, network.CreateRequest{Name: "in", Internal: true})
	ports := portMap(t, "8080:80/tcp", "[::1]:8081:80/tcp")
	shims.serve(t, "web")
	shims.serve(t, "inside")
	key, _, _ := start(t, m, "web", ports, "tcp/:80")
	if err := m.HandOver(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	setup(t, m, "inside", on("in"))
	check := func(when string) {
		t.Helper()
		expect(t, hostNetNS, "tcp", "127.0.0.1:8080", "web sees 172.17.0.1")
		if s, _ := m.sandboxes.Get("web"); !s.Held || len(s.Endpoints) != 1 || shims.count("web") != 2 {
			t.Errorf("%s: %d sockets are with the shim; %+v", when, shims.count("web"), s)
		}
		if got := defaultRoutes(t, key); !slices.Equal(got, []string{"eth0 172.17.0.1"}) {
			t.Errorf("%s: routes %v", when, got)
		}
	}
	check("at first")
	first := &network.EndpointSettings{GwPriority: 1} // it takes over the ports
	busy := errdefs.ErrUnavailable.WithMessage("busy")
	shims.refuse(busy)
	for _, id := range []string{"web", "inside"} {
		if _, _, err := m.Connect(t.Context(), id, "app", first, portMap(t, "8090:80/tcp")); !errdefs.IsUnavailable(err) {
			t.Errorf("%s: %v", id, err)
		}
	}
	check("after a failure")
	if l, err := stdnet.Listen("tcp4", "0.0.0.0:8090"); err != nil {
		t.Errorf("a port that was not published is held: %v", err)
	} else {
		_ = l.Close()
	}
	// The undo fails as well, and the daemon dies.
	if err := os.Rename(m.dirs.names(), m.dirs.names()+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.dirs.names(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Connect(t.Context(), "web", "app", first, ports); err == nil {
		t.Error("connected without names")
	}
	if err := os.Remove(m.dirs.names()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(m.dirs.names()+".away", m.dirs.names()); err != nil {
		t.Fatal(err)
	}
	m = reopen(t, m)
	if err := m.Reconcile(t.Context(), []string{"web", "inside"}); err != nil {
		t.Fatal(err)
	}
	check("at the next start")
	shims.refuse(nil)
	connect(t, m, "web", "app", first, ports)
	expect(t, hostNetNS, "tcp", "127.0.0.1:8080", "web sees 10.66.2.1")
	if shims.count("web") != 2 {
		t.Errorf("connected: %d sockets are with the shim", shims.count("web"))
	}
	if err := m.Teardown(context.Background(), "web"); err != nil || shims.count("web") != 0 {
		t.Errorf("%d sockets are left, %v", shims.count("web"), err)
	}
}
