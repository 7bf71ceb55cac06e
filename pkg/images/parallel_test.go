package images

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	imagearchive "github.com/berth-engine/berth/pkg/images/archive"
	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// gate opens when as many wait at it as it is for.
type gate struct {
	mu   sync.Mutex // guards left
	left int
	open chan struct{}
}

func newGate(n int) *gate { return &gate{left: n, open: make(chan struct{})} }

func (g *gate) wait(ctx context.Context) error {
	g.mu.Lock()
	if g.left--; g.left == 0 {
		close(g.open)
	}
	g.mu.Unlock()
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestPullParallel: layers are fetched side by side; none comes before three are
// asked for.
func TestPullParallel(t *testing.T) {
	r, b := startRegistry(t, false), newBench(t)
	b.cfg.Transfers.Set(Transfers{Downloads: 3})
	r.push("x", "1", archive.Options{Layers: 3, LayerSize: 200000 + int(namespaceCount.Add(1))})
	layers := map[string]bool{}
	for _, l := range r.layers("x", "1") {
		layers[l.Digest.String()] = true
	}
	three := newGate(3)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if _, id, _ := strings.Cut(req.URL.Path, "/blobs/"); layers[id] && three.wait(req.Context()) != nil {
			return
		}
		forward(w, req, r.host)
	}))
	defer front.Close()
	if _, err := b.fetched(strings.TrimPrefix(front.URL, "http://")+"/x:1", PullOptions{}); err != nil {
		t.Fatal(err)
	}
}

// gated is an applier that begins when others have come.
type gated struct {
	diff.Applier
	gate *gate
}

func (g gated) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, opts ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	if err := g.gate.wait(ctx); err != nil {
		return ocispec.Descriptor{}, err
	}
	return g.Applier.Apply(ctx, desc, mounts, opts...)
}

// TestUnpackParallel: layers of one image are unpacked side by side; none is before
// another has begun.
func TestUnpackParallel(t *testing.T) {
	b := newBench(t)
	data, _ := sample(t, archive.Options{Layers: 3, LayerSize: 10000})
	ctx, done, err := b.keeper.Lease(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer done(false)
	store := b.Store.client.ContentStore()
	found, err := imagearchive.Read(ctx, store, bytes.NewReader(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := b.layers.Begin(ctx, gated{b.Store.client.DiffService(), newGate(2)}, 8)
	if err != nil {
		t.Fatal(err)
	}
	children := images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return blob.Children(ctx, store, desc)
	})
	if err := images.Dispatch(ctx, u.Unpack(children), nil, found[0].Target); err != nil {
		t.Fatal(err)
	}
	if n, err := u.Wait(); err != nil || n.Unpacks != 1 {
		t.Errorf("%+v, %v", n, err)
	}
	if _, snaps, _ := b.count(); snaps != 4 {
		t.Errorf("%d snapshots", snaps)
	}
}
