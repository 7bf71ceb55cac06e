package api_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/api/contract"
)

// Whatever the schema lets a request carry reaches the engine or changes the answer,
// or is listed in contract/exceptions.txt with the reason. What is listed must be
// without effect; of bodies only the engine could tell, which gets all of them.
func TestInputs(t *testing.T) {
	v, err := contract.New()
	if err != nil {
		t.Fatal(err)
	}
	listed, err := contract.ReadExceptions()
	if err != nil {
		t.Fatal(err)
	}
	f := newFakes()
	s := newServer(t, f.routes())
	for _, o := range api.Operations {
		if !s.Serves(o.ID) {
			continue
		}
		inputs, err := v.Inputs(o.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range inputs {
			reason := listed.Reason(in.Kind, o.ID, in.Name)
			if in.Kind == contract.Body && reason != "" {
				continue
			}
			switch has := hasEffect(t, s, f.journal, o, in); {
			case has && reason != "":
				t.Errorf("%s: %s %s has an effect, and is listed as having none: %s", o.ID, in.Kind, in.Name, reason)
			case !has && reason == "":
				t.Errorf("%s: %s %s has no effect", o.ID, in.Kind, in.Name)
			}
		}
	}
	for _, kind := range []string{contract.Query, contract.Header, contract.Body} {
		for _, e := range listed.Unused(kind) {
			t.Errorf("exceptions.txt:%d: the schema has no such %s", e.Line, kind)
		}
	}
}

// hasEffect compares a good request with the same that carries the input as well, in
// what the fakes are asked for and what the client gets.
func hasEffect(t *testing.T, h *api.Server, j *journal, o api.Operation, in contract.Input) bool {
	t.Helper()
	base, ok := requests[o.ID+" "+in.Name]
	if !ok {
		base, ok = requests[o.ID]
	}
	if !ok {
		base.target = map[string]string{"ContainerAttachWebsocket": "/containers/web/attach/ws"}[o.ID]
	}
	for _, value := range samples(o, in) {
		target, body, header := base.target, base.body, ""
		switch in.Kind {
		case contract.Query:
			target = withQuery(t, target, in.Name, fmt.Sprint(value))
		case contract.Header:
			header = fmt.Sprint(value)
		case contract.Body:
			body = withField(t, body, in.Name, value)
		}
		plain := effect(h, j, o, base.target, base.body, in.Name, "")
		if got := effect(h, j, o, target, body, in.Name, header); got != plain && !strings.HasPrefix(got, "4") {
			return true
		}
	}
	return false
}

// effect is the status, the body, and what the fakes were asked for.
func effect(h *api.Server, j *journal, o api.Operation, target, body, headerName, header string) string {
	r := httptest.NewRequest(o.Method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if header != "" {
		r.Header.Set(headerName, header)
	}
	if o.ID == "ContainerAttachWebsocket" {
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-WebSocket-Key", "x")
	}
	j.read()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return fmt.Sprintf("%d %s\n%s", w.Code, w.Body, j.read())
}

func withQuery(t *testing.T, target, name, value string) string {
	t.Helper()
	path, raw, _ := strings.Cut(target, "?")
	query, err := url.ParseQuery(raw)
	if err != nil {
		t.Fatal(err)
	}
	query.Set(name, value)
	return path + "?" + query.Encode()
}

// withField sets a field of a body by its path, "HostConfig.Mounts[].Type".
func withField(t *testing.T, body, path string, value any) string {
	t.Helper()
	tree := map[string]any{}
	if body != "" {
		if err := json.Unmarshal([]byte(body), &tree); err != nil {
			t.Fatal(err)
		}
	}
	at := tree
	names := strings.Split(path, ".")
	for i, name := range names {
		name, list := strings.CutSuffix(name, "[]")
		if name == "*" { // a port, or a network
			name = map[bool]string{true: "80/tcp", false: "bridge"}[list]
		}
		if i == len(names)-1 {
			at[name] = value
			break
		}
		below, _ := at[name].(map[string]any)
		if below == nil {
			below = map[string]any{}
		}
		if at[name] = below; list {
			at[name] = []any{below}
		}
		if list && name == "Mounts" {
			below["Type"] = strings.ToLower(strings.TrimSuffix(names[i+1], "Options"))
		}
		at = below
	}
	raw, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

const (
	somePlatform = `{"os":"linux","architecture":"arm64"}`
	someFilters  = `{"label":["x"]}`
)

// special are the values of inputs that have a syntax of their own, by name or by
// operation and name.
var special = map[string]any{
	"filters": someFilters, "platform": somePlatform, "platforms": somePlatform, "ContainerCreate platform": "linux/arm64", "ImageCreate platform": "linux/arm64",
	"ImageBuild platform": "linux/arm64", "buildargs": `{"X":"y"}`, "labels": `{"X":"y"}`, "cachefrom": `["x"]`, "outputs": `[{"Type":"x"}]`,
	"X-Registry-Auth":   base64.URLEncoding.EncodeToString([]byte(`{"username":"u"}`)),
	"X-Registry-Config": base64.URLEncoding.EncodeToString([]byte(`{"r":{"username":"u"}}`)),
	"condition":         "removed", "container": someID, "SystemEvents until": "2", "ImageBuild version": "2", "scope": "global", "SystemDataUsage type": "container", "fromSrc": "-",
	"HostConfig.PidMode": "host", "HostConfig.IpcMode": "host", "HostConfig.Mounts[].Type": "tmpfs", "HostConfig.NetworkMode": "host",
	"HostConfig.Dns": []string{"10.0.0.9"}, "HostConfig.ConsoleSize": []int{3, 4}, "ConsoleSize": []int{3, 4}, "HostConfig.PortBindings.*[].HostIp": "10.0.0.9",
	"ContainerLogs tail": 5, "ContainerLogs stdout": false, "SystemEvents since": 1,
	"HostConfig.DeviceRequests[].Capabilities": [][]string{{"gpu"}}, "DeviceRequests[].Capabilities": [][]string{{"gpu"}}, "HostConfig.Mounts[].TmpfsOptions.Options": [][]string{{"x"}},
	"ExposedPorts": map[string]any{"81/tcp": map[string]any{}}, "Volumes": map[string]any{"/x": map[string]any{}},
	"IPAM.Config[].Subnet": "10.9.0.0/16", "IPAM.Config[].IPRange": "10.9.1.0/24", "IPAM.Config[].Gateway": "10.9.0.7",
	"IPAM.Config[].AuxiliaryAddresses": map[string]string{"x": "10.9.0.9"},
}

// endpoint are those of a network's endpoint.
var endpoint = map[string]any{
	"IPAMConfig.IPv4Address": "10.0.0.9", "IPAMConfig.IPv6Address": "fd00::9", "IPAMConfig.LinkLocalIPs": []string{"169.254.0.9"}, "MacAddress": "02:00:00:00:00:09",
}

// samples are values for an input, of which one at least is not the default.
func samples(o api.Operation, in contract.Input) []any {
	for _, name := range []string{o.ID + " " + in.Name, in.Name} {
		if v, ok := special[name]; ok {
			return []any{v}
		}
	}
	for _, prefix := range []string{"NetworkingConfig.EndpointsConfig.*.", "EndpointConfig."} {
		if name, ok := strings.CutPrefix(in.Name, prefix); ok && endpoint[name] != nil {
			return []any{endpoint[name]}
		}
	}
	switch s := in.Schema; {
	case s.Type.Is("boolean"):
		return []any{true, false}
	case s.Type.Is("integer"):
		return []any{11}
	case s.Type.Is("array") && in.Kind == contract.Body:
		return []any{[]string{"sample"}}
	case s.Type.Is("object") && in.Kind == contract.Body:
		return []any{map[string]string{"sample": "x"}}
	}
	return []any{"sample"}
}
