package images

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/berth-engine/berth/pkg/images/remote"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// faulty stands before a registry and does what a test tells it to.
type faulty struct {
	registry *registryServer
	host     string

	mu     sync.Mutex // guards what follows
	faults []*failure
	ranges []string // Range headers of requests for blobs that were let through
	bytes  int64    // of blobs sent
}

// failure is what happens to answers. It applies to the first requests that match.
type failure struct {
	method, path string // part of the path
	times        int    // how often
	status       int    // instead of an answer
	body         string // with status
	cut          int64  // bytes after which the connection is cut, if status is 0
	stall        bool   // instead of the cut nothing more comes
	take         int64  // bytes of the request after which the connection is cut
}

func startFaulty(t *testing.T) *faulty {
	t.Helper()
	f := &faulty{registry: startRegistry(t, false)}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.host = strings.TrimPrefix(server.URL, "http://")
	return f
}

func (f *faulty) is(faults ...*failure) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults, f.ranges, f.bytes = faults, nil, 0
}

// seen returns the Range headers and bytes of blobs since is.
func (f *faulty) seen() ([]string, int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ranges, f.bytes
}

func (f *faulty) fault(req *http.Request) *failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.faults {
		if one.method == req.Method && strings.Contains(req.URL.Path, one.path) && one.times != 0 {
			one.times--
			return one
		}
	}
	return nil
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	one := f.fault(req)
	if one != nil && one.status != 0 {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(one.status)
		_, _ = io.WriteString(w, one.body)
		return
	}
	if one != nil && one.take > 0 {
		_, _ = io.CopyN(io.Discard, req.Body, one.take)
		panic(http.ErrAbortHandler)
	}
	out := req.Clone(req.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", f.registry.host, ""
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	limit := int64(1 << 40)
	if one != nil {
		limit = one.cut
	}
	n, _ := io.Copy(w, io.LimitReader(resp.Body, limit))
	if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/") {
		f.mu.Lock()
		f.ranges, f.bytes = append(f.ranges, req.Header.Get("Range")), f.bytes+n
		f.mu.Unlock()
	}
	if one == nil || n < limit {
		return // whole
	}
	_ = http.NewResponseController(w).Flush()
	if one.stall {
		<-req.Context().Done()
	}
	panic(http.ErrAbortHandler)
}

// layer is the last layer of an image.
func (f *faulty) layer(repo, tag string) ocispec.Descriptor {
	f.registry.t.Helper()
	all := f.registry.layers(repo, tag)
	return all[len(all)-1]
}

// large is a layer's worth of bytes.
const large = 6000000

// TestPullResumes: after a cut connection only the rest is fetched.
func TestPullResumes(t *testing.T) {
	f, b := startFaulty(t), newBench(t)
	f.registry.push("x", "cut", archive.Options{Layers: 1, LayerSize: large + int(namespaceCount.Add(1))}) // namespaces share blobs
	f.registry.push("x", "stall", archive.Options{Layers: 1, LayerSize: large + int(namespaceCount.Add(1))})
	for name, c := range map[string]*failure{
		"cut":   {method: http.MethodGet, times: 6},
		"stall": {method: http.MethodGet, times: 3, stall: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := openBench(t, b.cfg.Namespace+name, remote.Config{Patience: time.Second})
			layer := f.layer("x", name)
			c.path, c.cut = layer.Digest.String(), layer.Size/10
			f.is(c)
			if _, err := b.fetched(f.host+"/x:"+name, PullOptions{}); err != nil {
				t.Fatal(err)
			}
			ranges, sent := f.seen()
			if n := len(slices.DeleteFunc(slices.Clone(ranges), func(s string) bool { return s == "" })); n == 0 || sent > layer.Size*11/10+1000 {
				t.Errorf("%d bytes, ranges %q", sent, ranges)
			}
		})
	}
}

// TestPullGoesOn: what a pull that failed, was left or died has fetched serves
// the next one.
func TestPullGoesOn(t *testing.T) {
	for name, interrupt := range map[string]func(b *bench, f *faulty) *bench{
		"failed": func(b *bench, f *faulty) *bench {
			_, err := b.fetched(f.host+"/x:1", PullOptions{})
			if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), f.host+"/x:1") {
				b.t.Errorf("%v", err)
			}
			return b
		},
		"left": func(b *bench, f *faulty) *bench {
			layer := f.layer("x", "1")
			f.is(&failure{method: http.MethodGet, path: layer.Digest.String(), times: -1, cut: layer.Size * 3 / 4, stall: true})
			ctx, leave := context.WithCancel(b.ctx)
			done := make(chan error, 1)
			go func() {
				done <- b.Pull(ctx, f.host+"/x:1", PullOptions{}, func(jsonstream.Message) error { return nil })
			}()
			for offset := int64(0); offset == 0; {
				if len(done) > 0 {
					b.t.Fatalf("the pull ended: %v", <-done)
				}
				active, err := b.Store.client.ContentStore().ListStatuses(b.ctx, "")
				if err != nil {
					b.t.Fatal(err)
				}
				for _, a := range active {
					if strings.Contains(a.Ref, layer.Digest.String()) {
						offset = a.Offset
					}
				}
			}
			leave()
			if err := <-done; err == nil {
				b.t.Error("the pull went on")
			}
			return b
		},
		"died": func(b *bench, f *faulty) *bench {
			_, _ = b.fetched(f.host+"/x:1", PullOptions{})
			return openBench(b.t, b.cfg.Namespace, remote.Config{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, b := startFaulty(t), newBench(t)
			f.registry.push("x", "1", archive.Options{Layers: 1, LayerSize: large + int(namespaceCount.Add(1))}) // namespaces share blobs
			layer := f.layer("x", "1")
			f.is(&failure{method: http.MethodGet, path: layer.Digest.String(), times: 1, cut: layer.Size / 2},
				&failure{method: http.MethodGet, path: layer.Digest.String(), times: -1})
			b = interrupt(b, f)
			if blobs, _, ingests := b.left(); blobs+ingests == 0 {
				t.Error("nothing is kept")
			}
			f.is()
			if _, err := b.fetched(f.host+"/x:1", PullOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, sent := f.seen(); sent == 0 || sent >= layer.Size {
				t.Errorf("%d bytes were sent again", sent)
			}
			blobs, snaps, ingests := b.left()
			is(t, fmt.Sprint(blobs, snaps, ingests), "4 2 0")
		})
	}
}

// TestPullRetries: the client is told of the wait.
func TestPullRetries(t *testing.T) {
	f, b := startFaulty(t), newBench(t)
	f.registry.push("x", "1", archive.Options{})
	b.cfg.Transfers.Set(Transfers{RetryDelay: time.Second})
	f.is(&failure{method: http.MethodGet, path: f.layer("x", "1").Digest.String(), times: 2, status: http.StatusBadGateway})
	out, err := b.fetched(f.host+"/x:1", PullOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(out, ": Retrying in 1 second"); n != 1 {
		t.Errorf("retries are told %d times\n%s", n, strings.Join(out, "\n"))
	}
}

// TestPullRefusals: what a registry says reaches the client, with its class.
func TestPullRefusals(t *testing.T) {
	f, b := startFaulty(t), newBench(t)
	f.registry.push("x", "1", archive.Options{})
	ref := f.host + "/x:1"
	for name, c := range map[string]struct {
		fault failure
		class func(error) bool
		want  string
	}{
		"rate limit": {failure{status: http.StatusTooManyRequests, body: `{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}`},
			errdefs.IsResourceExhausted, "error from registry: toomanyrequests: You have reached your pull rate limit. (" + ref + ")"},
		"forbidden": {failure{status: http.StatusForbidden, body: `{"errors":[{"code":"DENIED","message":"not for you"}]}`},
			errdefs.IsPermissionDenied, "error from registry: denied: not for you (" + ref + ")"},
		"details": {failure{status: http.StatusForbidden, body: `{"details":"by policy"}`}, errdefs.IsPermissionDenied, "error from registry: by policy (" + ref + ")"},
		"unauthorized": {failure{status: http.StatusUnauthorized, body: `{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}`},
			errdefs.IsNotFound, "pull access denied for " + f.host + "/x, repository does not exist or may require 'docker login': "},
		"broken": {failure{status: http.StatusInternalServerError, body: strings.Repeat("x", 1<<20)}, errdefs.IsUnknown, "500 Internal Server Error ("},
		"gone":   {failure{status: http.StatusServiceUnavailable}, errdefs.IsUnavailable, "error from registry: "},
		"teapot": {failure{status: http.StatusTeapot}, errdefs.IsUnknown, "418"},
	} {
		t.Run(name, func(t *testing.T) {
			one := c.fault
			one.path, one.times = "/manifests/", -1
			head, get := one, one
			head.method, get.method = http.MethodHead, http.MethodGet
			f.is(&head, &get)
			_, err := b.fetched(ref, PullOptions{})
			if err == nil || !c.class(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if len(fmt.Sprint(err)) > 4096 {
				t.Error("the message is too long")
			}
		})
	}
	blobs, snaps, ingests := b.count()
	is(t, blobs+snaps+ingests, 0)
}

// TestPushRetries: a registry that is not well for a moment does not end a push.
func TestPushRetries(t *testing.T) {
	f, b := startFaulty(t), newBench(t)
	b.have(archive.Options{Names: []string{f.host + "/x:1"}, Layers: 2, LayerSize: large})
	f.is(&failure{method: http.MethodPut, path: "/blobs/uploads", times: 2, status: http.StatusBadGateway},
		&failure{method: http.MethodPut, path: "/blobs/uploads", times: 2, take: 100000},
		&failure{method: http.MethodPost, path: "/blobs/uploads", times: 2, status: http.StatusBadGateway})
	if _, _, err := b.sent(f.host+"/x:1", PushOptions{}); err != nil {
		t.Fatal(err)
	}
	other := newBench(t)
	if _, err := other.fetched(f.host+"/x:1", PullOptions{}); err != nil {
		t.Error(err)
	}
}

// TestPushGoesOn: what a push that failed, or died, has sent is not sent again.
func TestPushGoesOn(t *testing.T) {
	f, b := startFaulty(t), newBench(t)
	ref := f.host + "/x:1"
	b.have(archive.Options{Names: []string{ref}, Layers: 2, LayerSize: 100000})
	f.is(&failure{method: http.MethodPut, path: "/manifests/", times: -1, status: http.StatusServiceUnavailable})
	if _, _, err := b.sent(ref, PushOptions{}); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), ref) {
		t.Errorf("%v", err)
	}
	f.is()
	b = openBench(t, b.cfg.Namespace, remote.Config{})
	out, _, err := b.sent(ref, PushOptions{})
	if err != nil || count(out, ": Layer already exists") != 3 || count(out, ": Pushing") > 0 {
		t.Errorf("%v\n%s", err, strings.Join(out, "\n"))
	}
}
