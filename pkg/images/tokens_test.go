package images

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
)

// startTokens runs a token server that Debian's registry believes, and gives that
// registry's authority to user berth, password secret, and to nobody else
// (distribution.github.io/distribution/spec/auth/token).
func startTokens(t *testing.T) (auth string) {
	t.Helper()
	a := newAuthority(t)
	cert, key := a.issue("tokens", x509.ExtKeyUsageServerAuth)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		scopes := r.URL.Query()["scope"]
		if r.Method == http.MethodPost {
			user, password, scopes = r.FormValue("username"), r.FormValue("password"), strings.Fields(r.FormValue("scope"))
		}
		if user != "" && (user != "berth" || password != "secret") {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}`)
			return
		}
		token := signed(t, key, cert, user, scopes)
		_ = json.NewEncoder(w).Encode(map[string]string{"token": token, "access_token": token})
	}))
	t.Cleanup(server.Close)
	return fmt.Sprintf("auth: {token: {realm: %q, service: test, issuer: tokens, rootcertbundle: %q}}\n", server.URL+"/token", filepath.Join(a.dir, "ca.crt"))
}

// signed is a token for what user asks for, in the form of a JSON web token; a
// stranger's allows nothing.
func signed(t *testing.T, key *ecdsa.PrivateKey, cert *x509.Certificate, user string, scopes []string) string {
	access := []map[string]any{}
	for _, s := range scopes {
		if part := strings.Split(s, ":"); len(part) == 3 && user != "" {
			access = append(access, map[string]any{"type": part[0], "name": part[1], "actions": strings.Split(part[2], ",")})
		}
	}
	now := time.Now().Unix()
	part := func(v any) string {
		doc, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		return base64.RawURLEncoding.EncodeToString(doc)
	}
	text := part(map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(cert.Raw)}}) + "." +
		part(map[string]any{"iss": "tokens", "sub": user, "aud": "test", "nbf": now - 60, "iat": now, "exp": now + 60, "jti": rand.Text(), "access": access})
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Error(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// TestTokens: Debian's registry with a token server.
func TestTokens(t *testing.T) {
	r, b := startRegistryAs(t, startTokens(t), ""), newBench(t)
	good := &registry.AuthConfig{Username: "berth", Password: "secret"}
	bad := &registry.AuthConfig{Username: "berth", Password: "wrong"}
	b.have(archive.Options{Names: []string{r.host + "/team/x:1"}, Layers: 1})
	ref := b.tag(r.host+"/team/x:1", r.host+"/team/x:2")
	for name, c := range map[string]*registry.AuthConfig{"nobody": nil, "wrong": bad} {
		if _, _, err := b.sent(ref, PushOptions{Auth: c}); !errdefs.IsPermissionDenied(err) || !strings.HasPrefix(err.Error(), "push access denied for "+r.host+"/team/x, repository does not exist or may require authorization") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := b.fetched(ref, PullOptions{Auth: c}); !errdefs.IsNotFound(err) || !strings.HasPrefix(err.Error(), "pull access denied for "+r.host+"/team/x, repository does not exist or may require 'docker login'") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := b.sent(r.host+"/team/x", PushOptions{Auth: good}); err != nil {
		t.Fatal(err)
	}
	// What one repository has is linked in another: a token for both.
	if out, _, err := b.sent(b.tag(ref, r.host+"/other:1"), PushOptions{Auth: good}); err != nil || count(out, ": Mounted from team/x") != 2 {
		t.Errorf("%v\n%s", err, strings.Join(out, "\n"))
	}
	other := newBench(t)
	if _, err := other.fetched(r.host+"/team/x", PullOptions{All: true, Auth: good}); err != nil {
		t.Fatal(err)
	}
	same(t, other.known(), []string{r.host + "/team/x:1", r.host + "/team/x:2"})
	for auth, want := range map[*registry.AuthConfig]string{good: "", bad: "unauthorized: incorrect username or password"} {
		one := *auth
		one.ServerAddress = r.host
		if _, err := b.cfg.Registries.Login(b.ctx, one); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("login: %v, want %q", err, want)
		}
	}
}
