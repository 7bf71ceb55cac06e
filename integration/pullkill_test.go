package integration

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// slow stands before a registry. Until it is let go, of each large blob it sends the
// first half, and nothing more.
type slow struct {
	registry string

	mu     sync.Mutex // guards what follows
	free   bool
	halves int
	ranges []string // of requests for large blobs since it was let go
}

// relay asks a registry what a client asks, and passes the head of its answer on.
func relay(w http.ResponseWriter, r *http.Request, registry string) *http.Response {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", registry, ""
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	return resp
}

func (s *slow) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resp := relay(w, r, s.registry)
	defer resp.Body.Close()
	const large = 1 << 20
	hold := false
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && resp.ContentLength > large {
		s.mu.Lock()
		if hold = !s.free; !hold {
			s.ranges = append(s.ranges, r.Header.Get("Range"))
		}
		s.mu.Unlock()
	}
	if !hold {
		_, _ = io.Copy(w, resp.Body)
		return
	}
	_, _ = io.CopyN(w, resp.Body, resp.ContentLength/2)
	_ = http.NewResponseController(w).Flush()
	s.mu.Lock()
	s.halves++
	s.mu.Unlock()
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

// TestPullSurvivesKill: after kill -9 in the middle of a pull the next one fetches
// only the rest; without one, prune gives back the space.
func TestPullSurvivesKill(t *testing.T) {
	t.Parallel()
	r := harness.StartRegistry(t)
	s := &slow{registry: r.Address}
	front := httptest.NewServer(s)
	t.Cleanup(front.Close)
	name := strings.TrimPrefix(front.URL, "http://") + "/app:v1"
	d := harness.Start(t, harness.Options{})
	d.Berth("import", rootfs(t, 8<<20), r.Address+"/app:v1").OK(t)
	d.Berth("push", "-q", r.Address+"/app:v1").OK(t)
	d.Berth("rmi", r.Address+"/app:v1").OK(t)
	await(t, "the disk is given back", func() bool { return blobs(t, d) == 0 })
	pull := d.Command(t.Context(), harness.BerthCLI(), "pull", name)
	if err := pull.Start(); err != nil {
		t.Fatal(err)
	}
	ingests := func() (bytes int64) {
		found, err := filepath.Glob(filepath.Join(d.Data(), "containerd/io.containerd.content.v1.content/ingest/*/data"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			if info, err := os.Stat(name); err == nil {
				bytes += info.Size()
			}
		}
		return bytes
	}
	await(t, "half a layer", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.halves > 0 && ingests() > 0
	})
	d.Kill()
	if err := pull.Wait(); err == nil {
		t.Error("the client says that the pull succeeded")
	}
	d.Run()
	d.Berth("image", "ls", "-q").OK(t)
	if ingests() == 0 {
		t.Error("nothing is kept for the next pull")
	}
	s.mu.Lock()
	s.free = true
	s.mu.Unlock()
	d.Berth("pull", "-q", name).OK(t)
	s.mu.Lock()
	ranges := strings.Join(s.ranges, " ")
	s.mu.Unlock()
	if !strings.Contains(ranges, "bytes=") || strings.Contains(ranges, "bytes=0-") {
		t.Errorf("ranges asked for: %q", ranges)
	}
	if got := d.Berth("run", "--rm", name, "/bin/sh", "-c", "echo whole").OK(t); got != "whole" {
		t.Errorf("it says %q", got)
	}
	if n := ingests(); n > 0 {
		t.Errorf("%d bytes of ingests are left", n)
	}
	d.Berth("rmi", name).OK(t)
	await(t, "the disk is given back", func() bool { return blobs(t, d) == 0 })
}

// blobs counts those of a daemon's content store.
func blobs(t *testing.T, d *harness.Daemon) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(d.Data(), "containerd/io.containerd.content.v1.content/blobs/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(found)
}
