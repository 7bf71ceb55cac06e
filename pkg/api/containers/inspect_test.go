package containers

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/layout"
	"github.com/berth-engine/berth/pkg/engine/query"
	"github.com/berth-engine/berth/pkg/engine/unit"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestInspectGolden shows, for each shape that Docker's API had, all that inspect
// says of a container at work. The files are read in review: go test -update.
func TestInspectGolden(t *testing.T) {
	for _, version := range []api.Version{api.V1(24), api.V1(44), api.V1(51), api.V1(52)} {
		t.Run(version.String(), func(t *testing.T) {
			answer, err := reader(t).Inspect(t.Context(), "web", false)
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(convertInspect(answer, version))
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, b, "", "\t"); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			file := filepath.Join("testdata", "inspect-"+version.String()+".json")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%s differs:\n%s", file, got.Bytes())
			}
		})
	}
}

// reader has "web", which runs and links to "db".
func reader(t *testing.T) *query.Reader {
	t.Helper()
	units := unit.NewRegistry()
	add := func(r *container.Record, s container.Status) {
		u := unit.New(r, s)
		t.Cleanup(func() { u.Close(errors.New("end")); u.Wait() })
		if err := units.Reserve(r.Name, r.ID); err != nil {
			t.Fatal(err)
		}
		units.Add(u)
	}
	add(&container.Record{ID: "db-id", Name: "db", Config: &ctypes.Config{}, HostConfig: &ctypes.HostConfig{}}, container.Status{State: container.Exited})
	add(record(t), status(t))
	return &query.Reader{
		Layout: layout.Layout{Data: "/var/lib/berth", Run: "/run/berth"}, Units: units,
		Execs: func(string) []string { return []string{"exec-id"} },
	}
}

var moment = time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)

func port(t *testing.T, s string) network.Port {
	t.Helper()
	p, err := network.ParsePort(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func record(t *testing.T) *container.Record {
	t.Helper()
	pids := int64(50)
	return &container.Record{
		ID: "4bc2f3a9d6e1c07b58a1f0d2e3c4b5a697887766554433221100ffeeddccbbaa", Name: "web", Created: moment,
		Path: "httpd", Args: []string{"-f"}, Image: "sha256:0123", Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, Driver: "overlayfs",
		Config: &ctypes.Config{
			Hostname: "4bc2f3a9d6e1", Image: "httpd:latest", Cmd: []string{"httpd", "-f"}, Env: []string{"A=1"}, Labels: map[string]string{"team": "blue"},
			ExposedPorts: network.PortSet{port(t, "80/tcp"): {}, port(t, "81/tcp"): {}}, WorkingDir: "/www",
			Healthcheck: &ctypes.HealthConfig{Test: []string{"CMD", "true"}, Interval: time.Second},
		},
		HostConfig: &ctypes.HostConfig{
			NetworkMode: "bridge", RestartPolicy: ctypes.RestartPolicy{Name: "always"}, Runtime: "runc", Links: []string{"db:store"},
			LogConfig: ctypes.LogConfig{Type: "json-file", Config: map[string]string{"max-size": "10m"}}, IpcMode: "private", ShmSize: 64 << 20,
			PortBindings: network.PortMap{port(t, "80/tcp"): {{HostPort: "8080"}}}, Binds: []string{"/srv:/www:ro"},
			Resources: ctypes.Resources{Memory: 64 << 20, PidsLimit: &pids},
		},
		Mounts: []ctypes.MountPoint{{Type: mount.TypeBind, Source: "/srv", Destination: "/www", Mode: "ro", Propagation: "rprivate"}},
		Links:  []container.Link{{Alias: "store", ID: "db-id"}},
	}
}

func status(t *testing.T) container.Status {
	t.Helper()
	return container.Status{
		State: container.Running, Pid: 4242, StartedAt: moment.Add(time.Second), RestartCount: 2,
		Health: &ctypes.Health{Status: ctypes.Healthy, Log: []*ctypes.HealthcheckResult{{Start: moment, End: moment.Add(time.Second), Output: "fine\n"}}},
		Sandbox: container.Sandbox{
			Key: "/run/berth/netns/4bc2",
			Endpoints: map[string]*network.EndpointSettings{
				"bridge": {
					NetworkID: "net-id", EndpointID: "endpoint-id", Gateway: netip.MustParseAddr("172.17.0.1"), IPAddress: netip.MustParseAddr("172.17.0.2"),
					IPPrefixLen: 16, MacAddress: network.HardwareAddr{2, 66, 172, 17, 0, 2},
				},
				"own": {NetworkID: "own-id", IPAddress: netip.MustParseAddr("10.0.0.2"), IPPrefixLen: 24, Aliases: []string{"www"}, DNSNames: []string{"web", "www"}},
			},
			Ports: network.PortMap{port(t, "80/tcp"): {{HostIP: netip.MustParseAddr("0.0.0.0"), HostPort: "8080"}, {HostIP: netip.MustParseAddr("::"), HostPort: "8080"}}},
		},
	}
}
