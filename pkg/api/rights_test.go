package api_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/api"
)

// On a read-only socket every operation of the schema is refused but for those
// that look; the same server's other sockets are as ever.
func TestReadOnlySocket(t *testing.T) {
	s := newServer(t, newFakes().routes())
	full := listen(t, s)
	socket := filepath.Join(t.TempDir(), "ro")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, s, api.ReadOnly(l))
	looks := map[string]bool{}
	for _, id := range []string{
		"ContainerList", "ContainerInspect", "ContainerTop", "ContainerLogs", "ContainerStats", "ContainerChanges", "CheckpointList", "ExecInspect",
		"ImageList", "ImageInspect", "ImageHistory", "ImageAttestations", "VolumeList", "VolumeInspect", "NetworkList", "NetworkInspect",
		"SystemPing", "SystemPingHead", "SystemVersion", "SystemInfo", "SystemEvents", "SystemDataUsage", "PluginList", "PluginInspect",
		"NodeList", "NodeInspect", "SwarmInspect", "SwarmUnlockkey", "ServiceList", "ServiceInspect", "ServiceLogs", "TaskList", "TaskInspect", "TaskLogs",
		"SecretList", "SecretInspect", "ConfigList", "ConfigInspect",
	} {
		looks[id] = true
	}
	for _, op := range allOperations {
		target := targetOf(op)
		status, body := over(t, socket, op.Method, target)
		if refused := status == http.StatusForbidden; refused == looks[op.ID] {
			t.Errorf("%s: %d %s", op.ID, status, body)
		}
	}
	// Nor by another way to write the same.
	for _, op := range allOperations {
		target := targetOf(op)
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "post"} {
			for _, way := range []string{target, "/v1.24" + target, "/" + target, target + "/", strings.Replace(target, "nobody", "a%2f..%2fb", 1)} {
				switch status, body := over(t, socket, method, way); status {
				case http.StatusForbidden, http.StatusNotFound:
				default:
					t.Errorf("%s %s: %d %s", method, way, status, body)
				}
			}
		}
	}
	if status, body := over(t, full, http.MethodPost, "/containers/nobody/start"); status != http.StatusNoContent && status != http.StatusNotFound {
		t.Errorf("on the other socket: %d %s", status, body)
	}
}

var allOperations = slices.Concat(api.Operations, api.Unlisted, api.Own)

// targetOf is a path of an operation, which ends by itself.
func targetOf(op api.Operation) string {
	target := strings.NewReplacer("{id}", "nobody", "{name}", "nobody", "{checkpoint}", "nobody").Replace(op.Path)
	if op.ID == "SystemEvents" {
		target += "?until=1"
	}
	return target
}

func over(t *testing.T, socket, method, target string) (int, string) {
	t.Helper()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequest(method, "http://berth"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
