package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/version"
	"github.com/containerd/errdefs"
)

// do sends a request and gives the answer with its body.
func do(tb testing.TB, h http.Handler, method, target, body string) (*http.Response, string) {
	tb.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result(), w.Body.String()
}

// message takes the message out of an error's body.
func message(tb testing.TB, body string) string {
	tb.Helper()
	var m struct{ Message string }
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		tb.Fatalf("body %q: %v", body, err)
	}
	return m.Message
}

// What no route serves is named in the answer.
func TestNotServed(t *testing.T) {
	s := newServer(t, nil)
	for target, want := range map[string]string{
		"POST /v1.44/containers/create": "ContainerCreate is not implemented yet",
		"GET /v1.44/services/a/b":       "ServiceInspect is not implemented yet",
	} {
		method, path, _ := strings.Cut(target, " ")
		if resp, body := do(t, s, method, path, ""); resp.StatusCode != 501 || message(t, body) != want {
			t.Errorf("%s: %d %s", target, resp.StatusCode, body)
		}
	}
}

// Compose 1 is answered as by the engine that it was made for, whatever it asks for.
func TestOldCompose(t *testing.T) {
	s := newServer(t, []api.Route{{Operation: "SystemPing", Handler: func(w http.ResponseWriter, r *api.Request) error {
		_, err := fmt.Fprint(w, r.Version)
		return err
	}}})
	for _, c := range []struct{ agent, asked, want string }{
		{"docker-compose/1.29.2 docker-py/5.0.3 Linux/6.1.0", "1.55", "1.41"},
		{"docker-compose/1.29.2 docker-py/5.0.3 Linux/6.1.0", "1.38", "1.38"},
		{"compose/v2.40.3", "1.55", "1.55"},
		{"docker-sdk-python/5.0.3", "1.55", "1.55"},
		{"", "1.55", "1.55"},
	} {
		r := httptest.NewRequest("GET", "/v"+c.asked+"/_ping", nil)
		r.Header.Set("User-Agent", c.agent)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if got := w.Body.String(); got != c.want {
			t.Errorf("%q in %s: answered in %s, want %s", c.agent, c.asked, got, c.want)
		}
	}
}

func TestAnswers(t *testing.T) {
	s := newServer(t, newFakes().routes())
	for _, c := range []struct {
		name, method, target, body string
		status                     int
		message                    string
	}{
		{"no version", "GET", "/version", "", 200, ""},
		{"oldest", "GET", "/v1.24/version", "", 200, ""},
		{"newest", "GET", "/v1.55/version", "", 200, ""},
		{"too old", "GET", "/v1.20/version", "", 400, "client version 1.20 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"},
		{"too new", "GET", "/v1.56/version", "", 400, "client version 1.56 is too new. Maximum supported API version is 1.55"},
		{"other major", "GET", "/v2.0/version", "", 400, "client version 2.0 is too new. Maximum supported API version is 1.55"},
		{"malformed", "GET", "/v1.x/version", "", 400, `malformed API version "1.x": must be of the form 1.24`},
		{"no minor", "GET", "/v1/version", "", 400, `malformed API version "1": must be of the form 1.24`},
		{"huge", "GET", "/v1.99999999999999999999/version", "", 400, `malformed API version "1.99999999999999999999": must be of the form 1.24`},
		{"version alone", "GET", "/v1.44", "", 404, "page not found"},
		{"checkpoints", "GET", "/v1.44/containers/web/checkpoints", "", 501, "This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it."},
		{"a checkpoint", "DELETE", "/containers/web/checkpoints/x", "", 501, "This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it."},
		{"unknown path", "GET", "/v1.44/nothing", "", 404, "page not found"},
		{"wrong method", "DELETE", "/v1.44/containers/json", "", 404, "No such container: json"},
		{"wrong method, no variable", "PATCH", "/v1.44/info", "", 404, "page not found"},
		{"root", "GET", "/", "", 404, "page not found"},
		{"declined", "POST", "/v1.44/swarm/init", "{}", 501, "swarm mode is not supported: Berth runs the containers of one host"},
		{"declined, with variable", "DELETE", "/v1.44/plugins/a/b", "", 404, `plugin "a/b" not found`},
		{"path that begins with v", "GET", "/volumes", "", 200, ""},
		{"options", "OPTIONS", "/v1.44/whatever", "", 200, ""},
		{"broken query", "GET", "/info?a=%zz", "", 400, `invalid URL escape "%zz"`},
		{"name with slashes", "GET", "/v1.44/images/reg.io:5000/a/b/json", "", 200, ""},
		{"networks with a slash", "GET", "/v1.24/networks/", "", 200, ""},
		{"unknown network", "GET", "/networks/x", "", 404, "network x not found"},
		{"unknown container", "POST", "/containers/x/start", "", 404, "No such container: x"},
		{"kill says what", "POST", "/containers/x/kill", "", 404, "cannot kill container: x: No such container: x"},
		{"start with a body", "POST", "/containers/web/start", `{"Binds":[]}`, 400, "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24"},
		{"checkpoint", "POST", "/containers/web/start?checkpoint=x", "", 400, "checkpoint is only supported in experimental mode"},
		{"bad timeout", "POST", "/containers/web/stop?t=x", "", 400, `invalid value for "t": "x" is not a number`},
		{"bad limit", "GET", "/containers/json?limit=x", "", 400, `invalid value for "limit": "x" is not a number`},
		{"bad filters", "GET", "/containers/json?filters=x", "", 400, "invalid filter: invalid character 'x' looking for beginning of value"},
		{"no stream", "GET", "/containers/web/logs", "", 400, "Bad parameters: you must choose at least one stream"},
		{"bad since", "GET", "/containers/web/logs?stdout=1&since=x", "", 400, `invalid value for "since": "x" is not a Unix timestamp`},
		{"bad fraction", "GET", "/containers/web/logs?stdout=1&since=1.5x", "", 400, `invalid value for "since": "1.5x" is not a Unix timestamp`},
		{"fine fraction", "GET", "/containers/web/logs?stdout=1&since=1.12345678912345", "", 200, ""},
		{"bad condition", "POST", "/containers/web/wait?condition=x", "", 400, `invalid condition: "x"`},
		{"old clients have none", "POST", "/v1.29/containers/web/wait?condition=x", "", 200, ""},
		{"no size", "POST", "/containers/web/resize", "", 400, `invalid resize height "": invalid syntax`},
		{"negative size", "POST", "/containers/web/resize?h=-1&w=1", "", 400, `invalid resize height "-1": value out of range`},
		{"huge size", "POST", "/containers/web/resize?h=1&w=4294967296", "", 400, `invalid resize width "4294967296": value out of range`},
		{"size", "POST", "/containers/web/resize?h=1&w=2", "", 200, ""},
		{"no command", "POST", "/containers/web/exec", "{}", 400, "No exec command specified"},
		{"attach to nothing", "POST", "/containers/x/attach", "", 404, "No such container: x"},
		{"reserved name", "POST", "/images/create?fromImage=scratch&tag=latest", "", 403, "'scratch' is a reserved name"},
		{"bad name", "POST", "/images/create?fromImage=UPPER", "", 400, "invalid reference format: repository name (library/UPPER) must be lowercase"},
		{"bad platform", "POST", "/images/create?fromImage=a&platform=nonsense", "", 400, `"nonsense": unknown operating system or architecture: invalid argument`},
		{"tag of a digest", "POST", "/images/a/tag?repo=a@sha256:" + someID, "", 400, "cannot import digest reference"},
		{"tag like a digest", "POST", "/images/a/tag?repo=sha256&tag=x", "", 400, "refusing to create an ambiguous tag using digest algorithm as name"},
		{"tag of nothing", "POST", "/images/a/tag", "", 400, "invalid reference format"},
		{"both", "GET", "/images/a/json?manifests=1&platform=" + `{"os":"linux","architecture":"arm64"}`, "", 400, "conflicting options: manifests and platform options cannot both be set"},
		{"half a platform", "GET", "/images/a/json?platform={\"os\":\"linux\"}", "", 400, "both OS and Architecture must be provided"},
		{"identity alone", "GET", "/images/json?identity=1", "", 400, "conflicting options: identity requires manifests=1"},
		{"many platforms, old", "POST", "/v1.51/images/load?platform={}&platform={}", "", 400, "multiple platform parameters are not supported in this API version; use API version 1.52 or later"},
		{"events backwards", "GET", "/events?since=10&until=5", "", 400, "`since` time (10) cannot be after `until` time (5)"},
		{"events, unknown filter", "GET", `/events?filters={"x":["y"]}`, "", 400, "invalid filter 'x'"},
		{"a predefined network", "POST", "/networks/create", `{"Name":"bridge"}`, 403, "operation is not permitted on predefined bridge network "},
		{"a subnet", "POST", "/networks/create", `{"Name":"x","IPAM":{"Config":[{"Subnet":"10.1"}]}}`, 400, `invalid JSON: netip.ParsePrefix("10.1"): no '/'`},
		{"verbose", "GET", "/networks/bridge?verbose=x", "", 400, "invalid value for verbose: x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body := do(t, s, c.method, c.target, c.body)
			if resp.StatusCode != c.status {
				t.Fatalf("status %d, want %d: %s", resp.StatusCode, c.status, body)
			}
			if c.status >= 400 {
				if m := message(t, body); m != c.message {
					t.Errorf("message\n%q, want\n%q", m, c.message)
				}
				if ct := resp.Header.Get("Content-Type"); ct != "application/json" {
					t.Errorf("content type %q", ct)
				}
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	s := newServer(t, newFakes().routes())
	for _, target := range []string{"/_ping", "/v1.20/_ping", "/nothing", "/v1.24/info"} {
		resp, _ := do(t, s, "GET", target, "")
		for name, want := range map[string]string{
			"Server": "Berth/0.1 (linux)", "Api-Version": "1.55", "Ostype": "linux", "Docker-Experimental": "false",
		} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%s: header %s is %q, want %q", target, name, got, want)
			}
		}
	}
	resp, body := do(t, s, "HEAD", "/_ping", "")
	if body != "" || resp.Header.Get("Content-Length") != "0" || resp.Header.Get("Swarm") != "inactive" || resp.Header.Get("Builder-Version") != "2" {
		t.Errorf("HEAD /_ping: %v %q", resp.Header, body)
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{errdefs.ErrNotFound, 404},
		{errdefs.ErrInvalidArgument, 400},
		{errdefs.ErrOutOfRange, 400},
		{errdefs.ErrConflict, 409},
		{errdefs.ErrAlreadyExists, 409},
		{errdefs.ErrFailedPrecondition, 409},
		{errdefs.ErrNotModified, 304},
		{errdefs.ErrPermissionDenied, 403},
		{errdefs.ErrUnauthenticated, 401},
		{errdefs.ErrNotImplemented, 501},
		{errdefs.ErrUnavailable, 503},
		{errdefs.ErrInternal, 500},
		{errors.New("x"), 500},
		{fmt.Errorf("x: %w", errdefs.ErrNotFound.WithMessage("y")), 404},
	} {
		if got := api.Status(c.err); got != c.status {
			t.Errorf("%v: %d, want %d", c.err, got, c.status)
		}
	}
}

// An answer of 304 has no body, and is what start gives for what runs already.
func TestNotModified(t *testing.T) {
	f := newFakes()
	f.engine.start = func() error { return errdefs.ErrNotModified.WithMessage("container already started") }
	resp, body := do(t, newServer(t, f.routes()), "POST", "/containers/web/start", "")
	if resp.StatusCode != http.StatusNotModified || body != "" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

func TestPanicIsA500AndALogLine(t *testing.T) {
	f := newFakes()
	f.engine.start = func() error { panic("boom") }
	var log bytes.Buffer
	s, err := api.New(api.Config{Version: "0", MinAPI: version.MinAPI, MaxAPI: version.MaxAPI, Routes: f.routes(),
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	resp, body := do(t, s, "POST", "/containers/web/start", "")
	if resp.StatusCode != 500 || !strings.Contains(message(t, body), "boom") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if l := log.String(); !strings.Contains(l, "panic=boom") || !strings.Contains(l, "TestPanicIsA500AndALogLine") {
		t.Errorf("log: %s", l)
	}
}

func TestBodies(t *testing.T) {
	s := newServer(t, newFakes().routes())
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		message                 string
	}{
		{"fine", "application/json", `{"Image":"a"}`, 201, ""},
		{"with a charset", "application/json; charset=utf-8", `{"Image":"a"} `, 201, ""},
		{"no type", "", `{"Image":"a"}`, 400, "malformed Content-Type header (): mime: no media type"},
		{"wrong type", "text/plain", `{"Image":"a"}`, 400, "unsupported Content-Type header (text/plain): must be 'application/json'"},
		{"empty", "application/json", ``, 400, "invalid JSON: got EOF while reading request body"},
		{"blank", "application/json", ` `, 400, "invalid JSON: got EOF while reading request body"},
		{"broken", "application/json", `{"Image"`, 400, "invalid JSON: unexpected EOF"},
		{"not JSON", "application/json", `x`, 400, "invalid JSON: invalid character 'x' looking for beginning of value"},
		{"more", "application/json", `{"Image":"a"}{}`, 400, "unexpected content after JSON"},
		{"rubbish after", "application/json", `{"Image":"a"}x`, 400, "unexpected content after JSON"},
		{"null", "application/json", `null`, 400, "config cannot be empty in order to create a container"},
		{"no config", "application/json", `{"HostConfig":{}}`, 400, "config cannot be empty in order to create a container"},
		{"huge", "application/json", `{"Image":"` + strings.Repeat("a", 5<<20) + `"}`, 400, "invalid JSON: http: request body too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/containers/create", strings.NewReader(c.body))
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			if w.Code != c.status {
				t.Fatalf("status %d, want %d: %s", w.Code, c.status, w.Body)
			}
			if c.message != "" && message(t, w.Body.String()) != c.message {
				t.Errorf("message %s, want %s", w.Body, c.message)
			}
		})
	}
}

// New refuses routes that lead nowhere.
func TestRoutesMustFit(t *testing.T) {
	config := api.Config{MinAPI: version.MinAPI, MaxAPI: version.MaxAPI}
	config.Routes = []api.Route{{Operation: "Nothing"}}
	if _, err := api.New(config); err == nil {
		t.Error("a route for no operation was taken")
	}
	config.Routes = []api.Route{{Operation: "SystemInfo"}, {Operation: "SystemInfo"}}
	if _, err := api.New(config); err == nil {
		t.Error("two routes for an operation were taken")
	}
}

// FuzzServer: whatever is asked, no handler panics and every answer is one.
func FuzzServer(f *testing.F) {
	for _, o := range api.Operations {
		f.Add(o.Method, "/v1.44"+strings.NewReplacer("{id}", "web", "{name}", "web").Replace(o.Path), "a=b&filters={}", `{"Image":"a"}`)
	}
	f.Add("POST", "/v1.24/containers/create", "name=x", `{"Image":"a","HostConfig":{"Mounts":[{"Type":"bind","BindOptions":null}],"PortBindings":{"80/tcp":null},"Sysctls":{"net.ipv4.conf.eth0.x":"1"}},"NetworkingConfig":{"EndpointsConfig":{"a":null}},"MacAddress":"x"}`)
	fakes := newFakes()
	var panics bytes.Buffer
	s, err := api.New(api.Config{MinAPI: version.MinAPI, MaxAPI: version.MaxAPI, Routes: fakes.routes(),
		Logger: slog.New(slog.NewTextHandler(&panics, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, path, query, body string) {
		r, err := http.NewRequest(method, "http://berth/", io.NopCloser(strings.NewReader(body)))
		if err != nil {
			return
		}
		r.URL.Path, r.URL.RawQuery = path, query
		r.ContentLength = int64(len(body))
		r.Header.Set("Content-Type", "application/json")
		panics.Reset()
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		// A recorder cannot be hijacked, which attach says by a 500.
		if strings.Contains(panics.String(), "panic in a request") {
			t.Fatal(panics.String())
		}
		if w.Code >= 400 && w.Code != 501 && message(t, w.Body.String()) == "" {
			t.Fatalf("%s %s: status %d without a message", method, path, w.Code)
		}
	})
}
