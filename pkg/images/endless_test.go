package images

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/images/remote"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// endless writes until the reader leaves, and counts.
func endless(w http.ResponseWriter, sent *atomic.Int64) {
	chunk := bytes.Repeat([]byte{'a'}, 64<<10)
	for {
		n, err := w.Write(chunk)
		if sent.Add(int64(n)); err != nil {
			return
		}
	}
}

// TestPullEndless: a registry, or its token server, that never comes to an end, or
// never begins, is given up after what the thing asked for may be long.
func TestPullEndless(t *testing.T) {
	layer := []byte("layer of " + t.Name())
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, sha256.Sum256(layer))
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":"sha256:%x","size":%d},"layers":[{"mediaType":%q,"digest":"sha256:%x","size":%d}]}`,
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, sha256.Sum256(config), len(config), ocispec.MediaTypeImageLayer, sha256.Sum256(layer), len(layer))
	for name, c := range map[string]struct {
		serve func(w http.ResponseWriter, r *http.Request, sent *atomic.Int64)
		want  string
	}{
		"manifest": {func(w http.ResponseWriter, r *http.Request, sent *atomic.Int64) {
			w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
			if r.Method == http.MethodGet {
				endless(w, sent)
			}
		}, "/v2/x/manifests/1 is too long"},
		"token": {func(w http.ResponseWriter, r *http.Request, sent *atomic.Int64) {
			if r.URL.Path == "/token" {
				_, _ = io.WriteString(w, `{"token":"`)
				endless(w, sent)
				return
			}
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test"`, r.Host))
			w.WriteHeader(http.StatusUnauthorized)
		}, "is too long"},
		"layer": {func(w http.ResponseWriter, r *http.Request, sent *atomic.Int64) {
			switch {
			case strings.HasSuffix(r.URL.Path, fmt.Sprintf("%x", sha256.Sum256(layer))):
				endless(w, sent)
			case strings.HasSuffix(r.URL.Path, fmt.Sprintf("%x", sha256.Sum256(config))):
				_, _ = w.Write(config)
			default:
				w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
				w.Header().Set("Docker-Content-Digest", fmt.Sprintf("sha256:%x", sha256.Sum256(manifest)))
				w.Header().Set("Content-Length", fmt.Sprint(len(manifest)))
				if r.Method == http.MethodGet {
					_, _ = w.Write(manifest)
				}
			}
		}, ""},
		"error": {func(w http.ResponseWriter, r *http.Request, sent *atomic.Int64) {
			w.WriteHeader(http.StatusForbidden)
			if r.Method == http.MethodGet { // a HEAD swallows whatever is written
				endless(w, sent)
			}
		}, "403 Forbidden"},
		"tags": {func(w http.ResponseWriter, r *http.Request, sent *atomic.Int64) {
			_, _ = io.WriteString(w, `{"tags":["`)
			endless(w, sent)
		}, "list of tags"},
		"silence": {func(_ http.ResponseWriter, r *http.Request, _ *atomic.Int64) {
			<-r.Context().Done()
		}, "timeout awaiting response headers"},
	} {
		t.Run(name, func(t *testing.T) {
			var sent atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.serve(w, r, &sent) }))
			defer server.Close()
			defer server.CloseClientConnections()
			b := openBench(t, fmt.Sprintf("t%d", namespaceCount.Add(1)), remote.Config{Patience: time.Second})
			ref, all := strings.TrimPrefix(server.URL, "http://")+"/x:1", name == "tags"
			if all {
				ref = strings.TrimSuffix(ref, ":1")
			}
			if _, err := b.fetched(ref, PullOptions{All: all}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if n := sent.Load(); n > 64<<20 { // what is in sockets counts
				t.Errorf("%d bytes were taken", n)
			}
		})
	}
}
