package remote

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// serve runs a registry that is a function, and gives its host.
func serve(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// withTokens is a registry that wants a token for user berth, password secret, and
// gives an identity token with it, which is worth as much.
func withTokens(t *testing.T, next http.HandlerFunc) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			user, password, _ := r.BasicAuth()
			refresh := ""
			if r.Method == http.MethodPost {
				user, password, refresh = r.FormValue("username"), r.FormValue("password"), r.FormValue("refresh_token")
			}
			if refresh != "identity" && (user != "berth" || password != "secret") {
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}`)
				return
			}
			_ = json.NewEncoder(w).Encode(map[string]string{"token": "t", "access_token": "t", "refresh_token": "identity"})
			return
		}
		if r.Header.Get("Authorization") != "Bearer t" {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test"`, r.Host))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next(w, r)
	})
}

func withPassword(t *testing.T) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "berth" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
		}
	})
}

func TestLogin(t *testing.T) {
	open := serve(t, func(http.ResponseWriter, *http.Request) {})
	tokens, basic := withTokens(t, func(http.ResponseWriter, *http.Request) {}), withPassword(t)
	none := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	good := registry.AuthConfig{Username: "berth", Password: "secret"}
	bad := registry.AuthConfig{Username: "berth", Password: "wrong"}
	r := New(Config{})
	for name, c := range map[string]struct {
		auth     registry.AuthConfig
		address  string
		identity string
		class    func(error) bool
		want     string
	}{
		"open":           {good, open, "", nil, ""},
		"basic":          {good, basic, "", nil, ""},
		"basic, scheme":  {good, "http://" + basic + "/v2/", "", nil, ""},
		"basic, wrong":   {bad, basic, "", errdefs.IsUnauthorized, "login attempt to http://" + basic + "/v2/ failed with status: 401 Unauthorized"},
		"basic, nothing": {registry.AuthConfig{}, basic, "", errdefs.IsUnauthorized, "no basic auth credentials"},
		"token":          {good, tokens, "identity", nil, ""},
		"identity":       {registry.AuthConfig{IdentityToken: "identity"}, tokens, "identity", nil, ""},
		"token, wrong":   {bad, tokens, "", errdefs.IsUnauthorized, "unauthorized: incorrect username or password"},
		"no registry":    {good, none, "", func(err error) bool { return err != nil }, none},
		"nobody":         {good, "127.0.0.1:1", "", func(err error) bool { return err != nil }, "connection refused"},
		"no address":     {good, "service:x", "", errdefs.IsInvalidArgument, `invalid registry address "service:x"`},
		"no host":        {good, "https://-/v2/", "", errdefs.IsInvalidArgument, `invalid registry address "https://-/v2/"`},
		"malformed":      {registry.AuthConfig{Auth: "%"}, basic, "", errdefs.IsInvalidArgument, "invalid registry credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			c.auth.ServerAddress = c.address
			got, err := r.Login(t.Context(), c.auth)
			if c.class == nil {
				if err != nil || got.Status != "Login Succeeded" || got.IdentityToken != c.identity {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if !c.class(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the password is told: %v", err)
			}
		})
	}
}

func TestSearch(t *testing.T) {
	var asked string
	index := serve(t, func(w http.ResponseWriter, r *http.Request) {
		user, _, _ := r.BasicAuth()
		if asked = r.URL.String() + " " + user; r.URL.Path != "/v1/search" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, `{"num_results":3,"results":[
			{"name":"a","star_count":5,"is_official":true,"is_automated":true},{"name":"b","star_count":50},{"name":"c","star_count":1}]}`)
	})
	r := New(Config{Hub: "http://" + index})
	for name, c := range map[string]struct {
		term  string
		limit int
		auth  *registry.AuthConfig
		f     filters.Args
		want  string
		asked string
	}{
		"hub":      {"busybox", 0, nil, nil, "a b c", "/v1/search?n=25&q=busybox "},
		"library":  {"library/busybox", 7, nil, nil, "a b c", "/v1/search?n=7&q=busybox "},
		"limit":    {"x/y", 2, nil, nil, "a b", "/v1/search?n=2&q=x%2Fy "},
		"stars":    {"x", 0, nil, filters.Args{"stars": {"5"}}, "a b", ""},
		"official": {"x", 0, nil, filters.Args{"is-official": {"true"}}, "a", ""},
		"others":   {"x", 0, nil, filters.Args{"is-official": {"false"}}, "b c", ""},
		"robots":   {"x", 0, nil, filters.Args{"is-automated": {"true"}}, "", ""},
		"private":  {index + "/team/app", 0, &registry.AuthConfig{Username: "u", Password: "p", ServerAddress: index}, nil, "a b c", "/v1/search?n=25&q=team%2Fapp u"},
		"no leak":  {index + "/app", 0, &registry.AuthConfig{Username: "u", Password: "p", ServerAddress: "other"}, nil, "a b c", "/v1/search?n=25&q=app "},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := r.Search(t.Context(), c.term, c.limit, c.auth, c.f)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, one := range found {
				names = append(names, one.Name)
			}
			if got := strings.Join(names, " "); got != c.want || c.asked != "" && asked != c.asked {
				t.Errorf("%q, asked %q", got, asked)
			}
		})
	}
}

func TestSearchErrors(t *testing.T) {
	old := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	liar := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[") })
	r := New(Config{Hub: "http://127.0.0.1:1"})
	for name, c := range map[string]struct {
		term  string
		limit int
		f     filters.Args
		class func(error) bool
		want  string
	}{
		"no network": {"x", 0, nil, errdefs.IsUnavailable, "search in docker.io: "},
		"no search":  {old + "/x", 0, nil, errdefs.IsUnavailable, "registry " + old + " has no search"},
		"liar":       {liar + "/x", 0, nil, errdefs.IsUnavailable, "error decoding registry search results"},
		"limit":      {"x", 101, nil, errdefs.IsInvalidArgument, "limit 101 is outside the range of [1, 100]"},
		"scheme":     {"https://x/y", 0, nil, errdefs.IsInvalidArgument, "should not have a scheme"},
		"empty":      {"", 0, nil, errdefs.IsInvalidArgument, "term"},
		"filter":     {"x", 0, filters.Args{"name": {"x"}}, errdefs.IsInvalidArgument, "invalid filter"},
		"stars":      {"x", 0, filters.Args{"stars": {"many"}}, errdefs.IsInvalidArgument, "invalid filter 'stars=many'"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := r.Search(t.Context(), c.term, c.limit, nil, c.f); !c.class(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestDistribution(t *testing.T) {
	config := `{"architecture":"arm64","os":"linux","variant":"v8"}`
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":"sha256:%x","size":%d},"layers":[]}`,
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, sha256.Sum256([]byte(config)), len(config))
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[{"mediaType":%q,"digest":"sha256:%x","size":%d,"platform":{"architecture":"amd64","os":"linux"}}]}`,
		ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, sha256.Sum256([]byte(manifest)), len(manifest))
	lie := config
	host := withTokens(t, func(w http.ResponseWriter, r *http.Request) {
		var body, media string
		switch {
		case strings.HasSuffix(r.URL.Path, "/manifests/index"), strings.HasSuffix(r.URL.Path, fmt.Sprintf("%x", sha256.Sum256([]byte(index)))):
			body, media = index, ocispec.MediaTypeImageIndex
		case strings.Contains(r.URL.Path, "/manifests/") && !strings.HasSuffix(r.URL.Path, "nothing"):
			body, media = manifest, ocispec.MediaTypeImageManifest
		case strings.Contains(r.URL.Path, "/blobs/"):
			body = lie
		default:
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", media)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Header().Set("Docker-Content-Digest", fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(body))))
		if r.Method != http.MethodHead {
			_, _ = io.WriteString(w, body)
		}
	})
	r, auth := New(Config{}), &registry.AuthConfig{Username: "berth", Password: "secret"}
	for tag, want := range map[string]string{"index": "amd64", "one": "arm64"} {
		d, err := r.Distribution(t.Context(), host+"/x:"+tag, auth)
		if err != nil || len(d.Platforms) != 1 || d.Platforms[0].Architecture != want || d.Descriptor.Size == 0 {
			t.Errorf("%s: %+v, %v", tag, d, err)
		}
	}
	if _, err := r.Distribution(t.Context(), host+"/x:nothing", auth); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if _, err := r.Distribution(t.Context(), host+"/x:one", nil); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "pull access denied") {
		t.Error(err)
	}
	if _, err := r.Distribution(t.Context(), "UPPER", nil); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
	lie = strings.ToUpper(config)
	if _, err := r.Distribution(t.Context(), host+"/x:one", auth); !errdefs.IsDataLoss(err) {
		t.Error(err)
	}
}

// TestCredentialsStay: credentials for one registry are not sent to another.
func TestCredentialsStay(t *testing.T) {
	sent := ""
	host := serve(t, func(w http.ResponseWriter, r *http.Request) {
		sent += r.Header.Get("Authorization")
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	auth := &registry.AuthConfig{Username: "berth", Password: "secret", ServerAddress: "other.example"}
	if _, err := New(Config{}).Distribution(t.Context(), host+"/x:1", auth); err == nil || sent != "" {
		t.Errorf("sent %q, %v", sent, err)
	}
}

// TestProxy: registries that are no neighbours are reached through it.
func TestProxy(t *testing.T) {
	asked := ""
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.String()
		w.WriteHeader(http.StatusNotFound)
	})
	r := New(Config{Insecure: []string{"registry.test"}, Proxies: Proxies{HTTP: "http://" + proxy, No: "direct.test"}})
	if _, err := r.Distribution(t.Context(), "registry.test:80/x:1", nil); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if want := "HEAD http://registry.test:80/v2/x/manifests/1"; asked != want {
		t.Errorf("asked %q, want %q", asked, want)
	}
	for host, want := range map[string]bool{"registry.test": true, "direct.test": false, "127.0.0.1": false} {
		if p, err := r.proxy(&url.URL{Scheme: "http", Host: host}); err != nil || (p != nil) != want {
			t.Errorf("%s: %v, %v", host, p, err)
		}
	}
}

// TestMirrors: mirrors of Docker Hub come before it, in their order, and only pulls
// go there.
func TestMirrors(t *testing.T) {
	r := New(Config{Mirrors: []string{"http://127.0.0.1:7", "https://mirror.test/base"}})
	ref, err := reference.ParseNormalizedNamed("busybox")
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := r.Hosts(context.Background(), ref, &registry.AuthConfig{RegistryToken: "token"})
	if err != nil {
		t.Fatal(err)
	}
	list, err := hosts("docker.io")
	if err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
	for i, want := range []string{"http://127.0.0.1:7/v2", "https://mirror.test/base/v2", "https://registry-1.docker.io/v2"} {
		h := list[i]
		if got := h.Scheme + "://" + h.Host + h.Path; got != want || h.Capabilities.Has(4) != (i == 2) {
			t.Errorf("%s, capabilities %b", got, h.Capabilities)
		}
		if _, ok := h.Authorizer.(bearer); ok != (i == 2) {
			t.Errorf("%s has the token: %v", h.Host, ok)
		}
	}
	if list, err := hosts("registry.test"); err != nil || len(list) != 1 {
		t.Error(list, err)
	}
}
