package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestLogin logs in to a private registry, out again, and lets a credential helper
// keep the password, with each client.
func TestLogin(t *testing.T) {
	t.Parallel()
	r := harness.StartPrivateRegistry(t, "berth", "secret")
	for client, path := range clients(t) {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			s := script{t, start(t, harness.Options{}), path}
			name := r.Address + "/" + client + ":v1"
			s.ok("tag", image, name)
			s.logsIn(r.Address, name)
			s.helped(r.Address, name)
		})
	}
}

// with runs the client with something on its input, and a folder more on its PATH.
func (s script) with(in, path string, args ...string) (string, error) {
	s.t.Helper()
	cmd := s.d.Command(s.t.Context(), s.client, args...)
	cmd.Env = append(cmd.Env, "PATH="+path+":"+os.Getenv("PATH"))
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s script) logsIn(host, name string) {
	s.t.Helper()
	repository := strings.TrimSuffix(name, ":v1")
	s.do("push", name).Fails(s.t, 1, "push access denied for "+repository+", repository does not exist or may require authorization")
	s.do("pull", name).Fails(s.t, 1, "pull access denied for "+repository+", repository does not exist or may require 'docker login'")
	if out, err := s.with("wrong", "", "login", "-u", "berth", "--password-stdin", host); err == nil || !strings.Contains(out, "login attempt to http://"+host+"/v2/ failed with status: 401 Unauthorized") {
		s.t.Errorf("login with a wrong password: %v, %s", err, out)
	}
	if out, err := s.with("secret", "", "login", "-u", "berth", "--password-stdin", host); err != nil || !strings.Contains(out, "Login Succeeded") {
		s.t.Fatalf("login: %v, %s", err, out)
	}
	if auths := s.config()["auths"]; !strings.Contains(string(auths), host) {
		s.t.Errorf("config.json has auths %s", auths)
	}
	s.contains("v1: digest: sha256:", "push", name)
	s.ok("rmi", name)
	s.is("in", "run", "--rm", "--quiet", name, "echo", "in")
	s.is("Removing login credentials for "+host, "logout", host)
	s.do("pull", name).Fails(s.t, 1, "no basic auth credentials")
}

// config is the client's config.json.
func (s script) config() (out map[string]json.RawMessage) {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.d.Root, "cli", "config.json"))
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	return out
}

// helper is a credential helper that keeps one password, in a file beside it.
const helper = `#!/bin/sh
file=$(dirname "$0")/kept
case $1 in
store) cat >"$file" ;;
get) cat >/dev/null; test -s "$file" && cat "$file" || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) cat >/dev/null; : >"$file" ;;
list) echo '{}' ;;
esac
`

func (s script) helped(host, name string) {
	s.t.Helper()
	bin := s.t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-test"), []byte(helper), 0o700); err != nil {
		s.t.Fatal(err)
	}
	config := filepath.Join(s.d.Root, "cli", "config.json")
	if err := os.WriteFile(config, []byte(`{"credHelpers":{"`+host+`":"test"}}`), 0o600); err != nil {
		s.t.Fatal(err)
	}
	run := func(want, in string, args ...string) {
		s.t.Helper()
		if out, err := s.with(in, bin, args...); err != nil || !strings.Contains(out, want) {
			s.t.Fatalf("%s: %v, %s", strings.Join(args, " "), err, out)
		}
	}
	run("Login Succeeded", "secret", "login", "-u", "berth", "--password-stdin", host)
	kept, err := os.ReadFile(filepath.Join(bin, "kept"))
	if err != nil || !bytes.Contains(kept, []byte("secret")) || strings.Contains(string(s.config()["auths"]), `"auth"`) {
		s.t.Errorf("the helper has %q, config.json %q; %v", kept, s.config(), err)
	}
	run("Status: Image is up to date for "+name, "", "pull", name)
	run("Removing login credentials for "+host, "", "logout", host)
	if out, err := s.with("", bin, "pull", name); err == nil || !strings.Contains(out, "no basic auth credentials") {
		s.t.Errorf("after logout: %v, %s", err, out)
	}
}

// TestImageLists: what the clients show of images, and of a search.
func TestImageLists(t *testing.T) {
	t.Parallel()
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/search" && r.FormValue("q") == "box" && r.FormValue("n") == "7" {
			_, _ = io.WriteString(w, `{"results":[{"name":"box/one","description":"a box","star_count":9,"is_official":true},{"name":"box/two","star_count":1}]}`)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(hub.Close)
	d := start(t, harness.Options{})
	d.Berth("tag", image, "berth-test:v2").OK(t)
	d.Berth("import", rootfs(t, 0)).OK(t) // one without a name
	for client, path := range clients(t) {
		t.Run(client, func(t *testing.T) {
			s := script{t, d, path}
			id := s.ok("image", "inspect", "-f", "{{.Id}}", image)
			for want, args := range map[string][]string{
				"berth-test:latest berth-test:v2": {"--filter", "reference=berth-test", "--format", "{{.Repository}}:{{.Tag}}"},
				"berth-test:v2":                   {"--filter", "reference=berth-test:v*", "--format", "{{.Repository}}:{{.Tag}}"},
				id + " " + id:                     {"--filter", "dangling=false", "--digests", "--format", "{{.Digest}} " + id},
				"<none>:<none>":                   {"--filter", "dangling=true", "--format", "{{.Repository}}:{{.Tag}}"},
				"":                                {"-q", "--filter", "label=nobody=has"},
			} {
				got := strings.Join(strings.Fields(s.ok(append([]string{"images"}, args...)...)), " ")
				if args[0] == "--filter" && strings.HasPrefix(want, "sha256:") {
					got = strings.Join(strings.Fields(got)[:2], " ")
				}
				if got != want {
					t.Errorf("images %q: %q, want %q", args, got, want)
				}
			}
			tree := s.ok("images", "--tree")
			for _, want := range []string{"berth-test:latest", "berth-test:v2", "linux/amd64"} {
				if !strings.Contains(tree, want) {
					t.Errorf("%q is not in:\n%s", want, tree)
				}
			}
			s.do("images", "--filter", "colour=red").Fails(t, 1, "invalid filter 'colour'")
			host := strings.TrimPrefix(hub.URL, "http://")
			if got := s.ok("search", "--limit", "7", "--filter", "stars=2", "--format", "{{.Name}} {{.StarCount}} {{.IsOfficial}}", host+"/box"); got != "box/one 9 [OK]" {
				t.Errorf("search: %q", got)
			}
			s.do("search", "--limit", "101", host+"/box").Fails(t, 1, "limit 101 is outside the range of [1, 100]")
		})
	}
}
