package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestBadInput sends what is malformed, unknown or in conflict: each gets
// Docker's status and words, and leaves nothing behind.
func TestBadInput(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	h := d.HTTP()
	d.Berth("create", "--name", "taken", image).OK(t)
	const create = "/v1.44/containers/create"
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		message                  string
	}{
		{"unknown page", "GET", "/v1.44/nowhere", "", 404, "page not found"},
		{"version too old", "GET", "/v1.20/info", "", 400, "client version 1.20 is too old"},
		{"version too new", "GET", "/v1.999/info", "", 400, "client version 1.999 is too new"},
		{"no version", "GET", "/vx/info", "", 404, ""},
		{"broken JSON", "POST", create, `{"Image":`, 400, "unexpected EOF"},
		{"wrong type", "POST", create, `{"Image":7}`, 400, "cannot unmarshal number"},
		{"empty body", "POST", create, ``, 400, "EOF"},
		{"two values", "POST", create, `{} {}`, 400, "unexpected content after JSON"},
		{"no image", "POST", create, `{"Cmd":["true"]}`, 400, ""},
		{"unknown image", "POST", create, `{"Image":"nowhere/nothing"}`, 404, "No such image: nowhere/nothing:latest"},
		{"bad reference", "POST", create, `{"Image":"UPPER:CASE:x"}`, 400, "invalid reference format"},
		{"name taken", "POST", create + "?name=taken", `{"Image":"berth-test"}`, 409, `The container name "/taken" is already in use`},
		{"bad name", "POST", create + "?name=-x", `{"Image":"berth-test"}`, 400, "Invalid container name (-x)"},
		{"bad port", "POST", create, `{"Image":"berth-test","HostConfig":{"PortBindings":{"99999/tcp":[{}]}}}`, 400, "99999"},
		{"bad host port", "POST", create, `{"Image":"berth-test","HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"no"}]}}}`, 400, "invalid port specification"},
		{"bad bind", "POST", create, `{"Image":"berth-test","HostConfig":{"Binds":["a:b:c:d"]}}`, 400, "invalid volume specification: 'a:b:c:d'"},
		{"missing mount source", "POST", create, `{"Image":"berth-test","HostConfig":{"Mounts":[{"Type":"bind","Source":"/no/such","Target":"/x"}]}}`, 400, "bind source path does not exist: /no/such"},
		{"relative mount target", "POST", create, `{"Image":"berth-test","HostConfig":{"Mounts":[{"Type":"bind","Source":"/tmp","Target":"x"}]}}`, 400, "mount path must be absolute"},
		{"bad memory", "POST", create, `{"Image":"berth-test","HostConfig":{"Memory":1}}`, 400, "Minimum memory limit allowed is 6MB"},
		{"bad capability", "POST", create, `{"Image":"berth-test","HostConfig":{"CapAdd":["NONSENSE"]}}`, 400, "NONSENSE"},
		{"rm with restart", "POST", create, `{"Image":"berth-test","HostConfig":{"AutoRemove":true,"RestartPolicy":{"Name":"always"}}}`, 400, "AutoRemove"},
		{"unknown restart policy", "POST", create, `{"Image":"berth-test","HostConfig":{"RestartPolicy":{"Name":"maybe"}}}`, 400, "invalid restart policy"},
		{"unknown log driver", "POST", create, `{"Image":"berth-test","HostConfig":{"LogConfig":{"Type":"nolog"}}}`, 400, "no log driver named 'nolog' is registered"},
		{"unknown runtime", "POST", create, `{"Image":"berth-test","HostConfig":{"Runtime":"noc"}}`, 400, "unknown or invalid runtime name: noc"},
		{"link to nobody", "POST", create, `{"Image":"berth-test","HostConfig":{"Links":["nobody:n"]}}`, 400, "could not get container for nobody: No such container: nobody"},
		{"link of three parts", "POST", create, `{"Image":"berth-test","HostConfig":{"Links":["taken:t:x"]}}`, 400, "bad format for links: taken:t:x"},
		{"network before the image", "POST", create, `{"Image":"nowhere/nothing","Hostname":"h","HostConfig":{"NetworkMode":"container:taken"}}`, 400, "conflicting options: hostname and the network mode"},
		{"memory before the image", "POST", create, `{"Image":"nowhere/nothing","HostConfig":{"Memory":1}}`, 400, "Minimum memory limit allowed is 6MB"},
		{"runtime before the image", "POST", create, `{"Image":"nowhere/nothing","HostConfig":{"Runtime":"noc"}}`, 400, "unknown or invalid runtime name: noc"},
		{"mount before the image", "POST", create, `{"Image":"nowhere/nothing","HostConfig":{"Mounts":[{"Type":"bind","Source":"/no/such","Target":"/x"}]}}`, 400, "bind source path does not exist: /no/such"},
		{"port before the image", "POST", create, `{"Image":"nowhere/nothing","HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"no"}]}}}`, 400, `invalid port specification: "no"`},
		{"mount before the capability", "POST", create, `{"Image":"berth-test","HostConfig":{"CapAdd":["NONSENSE"],"Mounts":[{"Type":"bind","Source":"/no/such","Target":"/x"}]}}`, 400, "bind source path does not exist: /no/such"},
		{"capability before the bind", "POST", create, `{"Image":"berth-test","HostConfig":{"CapAdd":["NONSENSE"],"Binds":["a:b:c:d"]}}`, 400, "NONSENSE"},
		{"image before the bind", "POST", create, `{"Image":"nowhere/nothing","HostConfig":{"Binds":["a:b:c:d"]}}`, 404, "No such image"},
		{"image before the name", "POST", create + "?name=-x", `{"Image":"nowhere/nothing"}`, 404, "No such image"},
		{"image before the security option", "POST", create, `{"Image":"nowhere/nothing","HostConfig":{"SecurityOpt":["magic"]}}`, 404, "No such image"},
		{"image before the endpoint", "POST", create, `{"Image":"nowhere/nothing","NetworkingConfig":{"EndpointsConfig":{"bridge":null}}}`, 404, "No such image"},
		{"endpoint before the log driver", "POST", create, `{"Image":"berth-test","HostConfig":{"LogConfig":{"Type":"nolog"}},"NetworkingConfig":{"EndpointsConfig":{"bridge":null}}}`, 400, "invalid config for network bridge: EndpointsConfig is nil"},
		{"log driver before the name", "POST", create + "?name=-x", `{"Image":"berth-test","HostConfig":{"LogConfig":{"Type":"nolog"}}}`, 400, "nolog"},
		{"name before the security option", "POST", create + "?name=-x", `{"Image":"berth-test","HostConfig":{"SecurityOpt":["magic"]}}`, 400, "Invalid container name (-x)"},
		{"taken name before the security option", "POST", create + "?name=taken", `{"Image":"berth-test","HostConfig":{"SecurityOpt":["magic"]}}`, 409, `The container name "/taken" is already in use`},
		{"security option before the link", "POST", create, `{"Image":"berth-test","HostConfig":{"SecurityOpt":["magic"],"Links":["nobody:n"]}}`, 400, `invalid --security-opt 1: "magic"`},
		{"link before the bind", "POST", create, `{"Image":"berth-test","HostConfig":{"Links":["nobody:n"],"Binds":["a:b:c:d"]}}`, 400, "could not get container for nobody"},
		{"two endpoints", "POST", create, `{"Image":"berth-test","NetworkingConfig":{"EndpointsConfig":{"bridge":null,"none":null}}}`, 400, "* invalid config for network bridge: EndpointsConfig is nil\n* invalid config for network none: EndpointsConfig is nil"},
		{"address on the default network", "POST", create, `{"Image":"berth-test","NetworkingConfig":{"EndpointsConfig":{"bridge":{"IPAMConfig":{"IPv4Address":"192.0.2.9"}}}}}`, 400, "invalid config for network bridge: invalid endpoint settings:\n* user-specified IP address is supported on user-defined networks only"},
		{"host beside another network", "POST", create, `{"Image":"berth-test","HostConfig":{"NetworkMode":"host"},"NetworkingConfig":{"EndpointsConfig":{"host":{},"bridge":{}}}}`, 400, "container sharing network namespace with another container or host cannot be connected to any other network"},
		{"another network beside host", "POST", create, `{"Image":"berth-test","HostConfig":{"NetworkMode":"bridge"},"NetworkingConfig":{"EndpointsConfig":{"host":{},"bridge":{}}}}`, 400, "cannot connect container to host network - container must be created in host network mode"},
		{"none beside another network", "POST", create, `{"Image":"berth-test","HostConfig":{"NetworkMode":"none"},"NetworkingConfig":{"EndpointsConfig":{"none":{},"bridge":{}}}}`, 400, "container cannot be connected to multiple networks with one of the networks in private (none) mode"},
		{"bandwidth", "POST", create, `{"Image":"berth-test","HostConfig":{"IOMaximumBandwidth":5}}`, 400, "invalid option: QoS maximum bandwidth configuration is not supported on linux"},
		{"bad signal", "POST", "/v1.44/containers/taken/kill?signal=NOPE", "", 400, "invalid signal: NOPE"},
		{"bad signal for nobody", "POST", "/v1.44/containers/nobody/kill?signal=NOPE", "", 400, "invalid signal: NOPE"},
		{"signal of nothing", "POST", "/v1.44/containers/taken/kill?signal=65", "", 400, "the linux daemon does not support signal 65"},
		{"signal of the C library", "POST", "/v1.44/containers/taken/kill?signal=32", "", 400, "the linux daemon does not support signal 32"},
		{"stop what does not run by a bad signal", "POST", "/v1.44/containers/taken/stop?signal=NOPE", "", 304, ""},
		{"rename to a bad name", "POST", "/v1.44/containers/taken/rename?name=-x", "", 400, "Error when allocating new name: Invalid container name (/-x)"},
		{"rename to no name", "POST", "/v1.44/containers/taken/rename?name=%20/", "", 400, "Neither old nor new names may be empty"},
		{"swap of an update", "POST", "/v1.44/containers/taken/update", `{"MemorySwap":-2}`, 400, "Invalid memoryswap limit: -2"},
		{"kill what does not run", "POST", "/v1.44/containers/taken/kill", "", 409, "is not running"},
		{"stop what does not run", "POST", "/v1.44/containers/taken/stop", "", 304, ""},
		{"unknown container", "GET", "/v1.44/containers/nobody/json", "", 404, "No such container: nobody"},
		{"logs of no stream", "GET", "/v1.44/containers/taken/logs", "", 400, "you must choose at least one stream"},
		{"bad filter", "GET", "/v1.44/containers/json?filters=%7B%22nope%22%3A%5B%22x%22%5D%7D", "", 400, "invalid filter 'nope'"},
		{"filter is no JSON", "GET", "/v1.44/containers/json?filters=x", "", 400, "invalid"},
		{"exec in what does not run", "POST", "/v1.44/containers/taken/exec", `{"Cmd":["true"]}`, 409, "is not running"},
		{"unknown exec", "POST", "/v1.44/exec/nobody/start", `{}`, 404, "No such exec instance: nobody"},
		{"unknown network", "GET", "/v1.44/networks/nonet", "", 404, "network nonet not found"},
		{"no archive", "POST", "/v1.44/images/load", "not a tar at all", 400, ""},
		{"not built yet", "POST", "/v1.44/swarm/init", `{}`, 501, "swarm mode is not supported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			req, err := http.NewRequest(c.method, "http://berth"+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if c.body != "" {
				req.Header.Set("Content-Type", "application/json")
			}
			resp, err := h.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			var message struct{ Message string }
			if resp.StatusCode >= 400 {
				if err := json.Unmarshal(body, &message); err != nil {
					t.Errorf("the error is no JSON: %q", body)
				}
			}
			if resp.StatusCode != c.status || !strings.Contains(message.Message, c.message) {
				t.Errorf("status %d, want %d; message %q, want %q", resp.StatusCode, c.status, message.Message, c.message)
			}
		})
	}
	if got := d.Berth("ps", "-a", "--format", "{{.Names}}").OK(t); got != "taken" {
		t.Errorf("containers %q", got)
	}
	d.Berth("rm", "taken").OK(t)
	awaitClean(t, d)
}
