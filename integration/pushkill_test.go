package integration

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	ctrclient "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// gate stands before a registry. Until it is opened, large blobs do not get through, and
// who sends one is not answered.
type gate struct {
	registry string

	mu      sync.Mutex // guards what follows
	open    bool
	held    int      // uploads that it holds
	arrived []string // digests of blobs that were taken whole
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const large = 3 << 20 // more than the base
	upload := r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/uploads/")
	if upload && r.ContentLength > large && !g.passes() {
		_, _ = io.Copy(io.Discard, r.Body)
		g.mu.Lock()
		g.held++
		g.mu.Unlock()
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
	resp := relay(w, r, g.registry)
	defer resp.Body.Close()
	_, _ = io.Copy(w, resp.Body)
	if upload && resp.StatusCode == http.StatusCreated {
		g.mu.Lock()
		g.arrived = append(g.arrived, r.URL.Query().Get("digest"))
		g.mu.Unlock()
	}
}

func (g *gate) passes() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// taken are the blobs that came whole since the last call, and how many uploads are held.
func (g *gate) taken() (arrived []string, held int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	arrived, g.arrived = g.arrived, nil
	return arrived, g.held
}

// TestPushSurvivesKill: after kill -9 in the middle of a push nothing is left of it, and
// the next one sends what the registry does not have, once.
func TestPushSurvivesKill(t *testing.T) {
	t.Parallel()
	g := &gate{registry: harness.StartRegistry(t).Address}
	front := httptest.NewServer(g)
	t.Cleanup(front.Close)
	name := strings.TrimPrefix(front.URL, "http://") + "/team/app:v1"
	d := start(t, harness.Options{})
	// Small layers that arrive, and one that does not.
	d.Build("berth", nil, "--provenance=false", "-t", name, buildContext(t, "FROM "+image+"\nRUN echo small >/small\nRUN head -c 4000000 /dev/urandom >/large\nCMD [\"wc\", \"-c\", \"/large\"]\n")).OK(t)
	d.Terminate() // with what BuildKit holds for a while
	d.Run()
	d.Berth("image", "prune", "-f").OK(t)
	before := heldBy(t, d)
	push := d.Command(t.Context(), harness.BerthCLI(), "push", name)
	if err := push.Start(); err != nil {
		t.Fatal(err)
	}
	var first []string
	await(t, "a push of which the large layer is left", func() bool {
		arrived, held := g.taken()
		first = append(first, arrived...)
		return held == 1 && len(first) == 3 // the base, the small one, the configuration
	})
	d.Kill()
	if err := push.Wait(); err == nil {
		t.Error("the client says that the push succeeded")
	}
	d.Run()
	d.Berth("image", "prune", "-f").OK(t)
	// Fewer when a collection came by what the build held.
	if after := heldBy(t, d); after.blobs > before.blobs || after.ingests > before.ingests || after.snapshots > before.snapshots || after.leases > before.leases {
		t.Errorf("before the push: %+v\nafter:           %+v", before, after)
	}
	g.mu.Lock()
	g.open = true
	g.mu.Unlock()
	d.Berth("push", name).OK(t)
	rest, _ := g.taken()
	if len(rest) != 1 || strings.Contains(strings.Join(first, " "), rest[0]) {
		t.Errorf("sent the first time: %q, then: %q", first, rest)
	}
	d.Berth("rmi", "-f", name).OK(t)
	if got := d.Berth("run", "--quiet", "--rm", name).OK(t); got != "4000000 /large" {
		t.Errorf("what was pushed says %q", got)
	}
}

// held counts what a daemon's containerd has.
type held struct{ blobs, ingests, snapshots, leases int }

func heldBy(t *testing.T, d *harness.Daemon) (h held) {
	t.Helper()
	c, err := ctrclient.New(d.Containerd())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := namespaces.WithNamespace(t.Context(), d.Namespace())
	if err := c.ContentStore().Walk(ctx, func(content.Info) error { h.blobs++; return nil }); err != nil {
		t.Fatal(err)
	}
	ingests, err := c.ContentStore().ListStatuses(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	leases, err := c.LeasesService().List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	h.ingests, h.snapshots, h.leases = len(ingests), len(snapshotsOf(t, d)), len(leases)
	return h
}
