package links

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/etc"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"db": "db db", "db:/store": "db store", "db:store": "db store", "/db:/web/store": "db store", "0123abcd:x": "0123abcd x",
		"": "", ":": "", "db:": "", ":store": "", "a:b:c": "", "db:a b": "", "db:a/b": "", "db:a\nb": "", "/": "", "/:/web/x": "", "/db:/": "", "db:/": "", "db:/a b": "",
	} {
		name, alias, err := Parse(in)
		if want == "" {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%q: %q, %q, %v", in, name, alias, err)
			}
			continue
		}
		if err != nil || name+" "+alias != want {
			t.Errorf("%q: %q, %q, %v", in, name, alias, err)
		}
	}
}

// world has a container of each kind that can be linked to, or not.
func world(t *testing.T) *unit.Registry {
	t.Helper()
	r := unit.NewRegistry()
	add := func(name string, hc ctypes.HostConfig, s container.Status) {
		record := &container.Record{
			ID: "id-of-" + name, Name: name, HostConfig: &hc,
			Config: &ctypes.Config{
				Hostname: "host", Env: []string{"PATH=/x", "HOME=/", "A=b=c", "EMPTY=", "NONE"},
				ExposedPorts: network.PortSet{port(t, "81/tcp"): {}, port(t, "80/tcp"): {}, port(t, "53/udp"): {}, port(t, "90/tcp"): {}},
			},
		}
		u := unit.New(record, s)
		t.Cleanup(func() { u.Close(errors.New("end")); u.Wait() })
		if err := r.Reserve(name, record.ID); err != nil {
			t.Fatal(err)
		}
		r.Add(u)
	}
	ep := &network.EndpointSettings{IPAddress: netip.MustParseAddr("10.0.0.2"), GlobalIPv6Address: netip.MustParseAddr("fd00::2")}
	live := container.Status{State: container.Running, Sandbox: container.Sandbox{Endpoints: map[string]*network.EndpointSettings{"bridge": ep}}}
	add("db", ctypes.HostConfig{NetworkMode: "bridge", PortBindings: network.PortMap{port(t, "8080/tcp"): nil, port(t, "80/tcp"): nil}}, live)
	add("stopped", ctypes.HostConfig{NetworkMode: "bridge"}, container.Status{State: container.Exited})
	add("elsewhere", ctypes.HostConfig{NetworkMode: "own"}, container.Status{State: container.Running})
	add("joined", ctypes.HostConfig{NetworkMode: "container:db"}, live)
	add("host", ctypes.HostConfig{NetworkMode: "host"}, live)
	add("circle", ctypes.HostConfig{NetworkMode: "container:circle"}, live)
	return r
}

func port(t *testing.T, s string) network.Port {
	t.Helper()
	p, err := network.ParsePort(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestResolve(t *testing.T) {
	r := world(t)
	for _, c := range []struct {
		name  string
		mode  ctypes.NetworkMode
		links []string
		want  []container.Link
		fails string
	}{
		{"alias", "bridge", []string{"db:store"}, []container.Link{{Alias: "store", ID: "id-of-db"}}, ""},
		{"by prefix, twice", "bridge", []string{"id-of-d:a", "db:a", "stopped"}, []container.Link{{Alias: "a", ID: "id-of-db"}, {Alias: "stopped", ID: "id-of-stopped"}}, ""},
		{"through another's network", "bridge", []string{"joined:j"}, []container.Link{{Alias: "j", ID: "id-of-db"}}, ""},
		{"on a network of one's own", "own", []string{"nobody:n"}, nil, ""},
		{"nobody", "bridge", []string{"nobody:n"}, nil, "could not get container for nobody: No such container: nobody"},
		{"host network", "bridge", []string{"host:h"}, nil, "host type networking can't be used with links"},
		{"in circles", "bridge", []string{"circle:c"}, nil, "could not get container for circle"},
		{"malformed", "bridge", []string{"a:b:c"}, nil, "bad format for links: a:b:c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Resolve(&ctypes.HostConfig{NetworkMode: c.mode, Links: c.links}, r.Find)
			if c.fails != "" {
				if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestStart(t *testing.T) {
	r := world(t)
	own := &network.EndpointSettings{}
	linked := func(name string) *container.Record {
		return &container.Record{Name: "web", Links: []container.Link{{Alias: "my-db", ID: "id-of-" + name}}}
	}
	got, err := Start(linked("db"), own, r.Get)
	if err != nil {
		t.Fatal(err)
	}
	if want := []etc.HostLine{{Addr: netip.MustParseAddr("10.0.0.2"), Names: "my-db host db"}, {Addr: netip.MustParseAddr("fd00::2"), Names: "my-db host db"}}; !slices.Equal(got.Hosts, want) {
		t.Errorf("hosts: %+v", got.Hosts)
	}
	open := Open(linked("db"), r.Get)
	if text := fmt.Sprint(open); text != "map[id-of-db:[80/tcp 81/tcp 90/tcp 8080/tcp 53/udp]]" {
		t.Errorf("ports: %s", text)
	}
	if open := Open(linked("removed"), r.Get); len(open) > 0 {
		t.Errorf("ports of who is removed: %v", open)
	}
	// What Docker 20.10 sets for the same container, but for the order.
	want := strings.Fields(`MY_DB_PORT=tcp://10.0.0.2:80
		MY_DB_PORT_80_TCP=tcp://10.0.0.2:80 MY_DB_PORT_80_TCP_ADDR=10.0.0.2 MY_DB_PORT_80_TCP_PORT=80 MY_DB_PORT_80_TCP_PROTO=tcp
		MY_DB_PORT_81_TCP=tcp://10.0.0.2:81 MY_DB_PORT_81_TCP_ADDR=10.0.0.2 MY_DB_PORT_81_TCP_PORT=81 MY_DB_PORT_81_TCP_PROTO=tcp
		MY_DB_PORT_80_TCP_START=tcp://10.0.0.2:80 MY_DB_PORT_80_TCP_PORT_START=80 MY_DB_PORT_80_TCP_END=tcp://10.0.0.2:81 MY_DB_PORT_80_TCP_PORT_END=81
		MY_DB_PORT_90_TCP=tcp://10.0.0.2:90 MY_DB_PORT_90_TCP_ADDR=10.0.0.2 MY_DB_PORT_90_TCP_PORT=90 MY_DB_PORT_90_TCP_PROTO=tcp
		MY_DB_PORT_53_UDP=udp://10.0.0.2:53 MY_DB_PORT_53_UDP_ADDR=10.0.0.2 MY_DB_PORT_53_UDP_PORT=53 MY_DB_PORT_53_UDP_PROTO=udp
		MY_DB_NAME=/web/my-db MY_DB_ENV_A=b=c MY_DB_ENV_EMPTY=`)
	if !slices.Equal(got.Env, want) {
		t.Errorf("environment: %q", got.Env)
	}
	for name, text := range map[string]string{
		"stopped":   "Cannot link to a non running container: /stopped AS /web/my-db",
		"elsewhere": "Cannot link to /elsewhere, as it does not belong to the default network",
	} {
		if _, err := Start(linked(name), own, r.Get); err == nil || err.Error() != text {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := Start(linked("removed"), own, r.Get); err != nil || got.Hosts != nil {
		t.Errorf("removed: %+v, %v", got, err)
	}
	if got, err := Start(linked("stopped"), nil, r.Get); err != nil || got.Hosts != nil {
		t.Errorf("not on the default bridge: %+v, %v", got, err)
	}
}

func TestUpdate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	link := container.Link{Alias: "db"}
	child := &container.Record{Name: "new", Config: &ctypes.Config{Hostname: "host"}}
	ep := &network.EndpointSettings{IPAddress: netip.MustParseAddr("10.0.0.33"), GlobalIPv6Address: netip.MustParseAddr("fd00::3")}
	for _, c := range []struct{ name, hostname, old, want, removed string }{
		{
			"both families", "host", "127.0.0.1\tlocalhost\n10.0.0.2\tdb host new\nfd00::2\tdb host new\n",
			"127.0.0.1\tlocalhost\n10.0.0.33\tdb host new\nfd00::3\tdb host new\n", "127.0.0.1\tlocalhost\n",
		},
		{"another name", "host", "10.0.0.2\tdb host old\n", "10.0.0.33\tdb host new\n", ""},
		{"no name", "host", "10.0.0.2\tdb host\n", "10.0.0.33\tdb host new\n", ""},
		{"shorter", "host", "10.100.100.200\tdb host new", "10.0.0.33\tdb host new\n", ""},
		{"hostname as the alias", "db", "10.0.0.2\tdb old\n10.0.0.2\tdb x y\n", "10.0.0.33\tdb new\n10.0.0.2\tdb x y\n", "10.0.0.2\tdb x y\n"},
		{"others", "host", "10.0.0.2\tdb\n10.0.0.2 db host\nx\tdb host\n10.0.0.2\tdbs host\n", "10.0.0.2\tdb\n10.0.0.2 db host\nx\tdb host\n10.0.0.2\tdbs host\n", "10.0.0.2\tdb\n10.0.0.2 db host\nx\tdb host\n10.0.0.2\tdbs host\n"},
		{"emptied by the container", "host", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			child.Config.Hostname = c.hostname
			for want, hosts := range map[string][]etc.HostLine{c.want: Hosts(link, child, ep), c.removed: nil} {
				if err := os.WriteFile(file, []byte(c.old), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := Update(file, link, child, hosts); err != nil {
					t.Fatal(err)
				}
				if got, _ := os.ReadFile(file); string(got) != want {
					t.Errorf("%v: %q, want %q", hosts, got, want)
				}
			}
		})
	}
	if err := os.Truncate(file, maxHosts+1); err != nil {
		t.Fatal(err)
	}
	if err := Update(file, link, child, nil); err == nil {
		t.Error("a file without bound was read")
	}
}
