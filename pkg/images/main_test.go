package images

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/berth-engine/berth/pkg/images/remote"
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// engine is one embedded containerd for all tests, socket where it listens;
// each test has its own namespace.
var (
	engine *runtime.Runtime
	socket string
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bim")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	engine, err = runtime.Open(context.Background(), runtime.Config{
		Namespace: "berth-images-test", Root: filepath.Join(dir, "r"), State: filepath.Join(dir, "e"),
		Shim: "/nonexistent", Runtimes: map[string]runtime.Binary{"none": {Path: "/nonexistent"}}, Default: "none",
		Snapshotter: "overlayfs",
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer engine.Close()
	socket = filepath.Join(dir, "e", "containerd.sock")
	return m.Run()
}

// bench is a store in a namespace of its own, with what it told.
type bench struct {
	*Store
	*catalog.Catalog
	ctx context.Context
	t   *testing.T

	running, stopped []string // containers of every image

	mu     sync.Mutex // guards events
	events []string   // "action id name"
}

var namespaceCount atomic.Int32

func newBench(t *testing.T) *bench {
	t.Helper()
	return openBench(t, fmt.Sprintf("t%d", namespaceCount.Add(1)), remote.Config{})
}

func openBench(t *testing.T, namespace string, r remote.Config) *bench {
	t.Helper()
	return openClient(t, engine.Client(), namespace, r)
}

func openClient(t *testing.T, c *client.Client, namespace string, r remote.Config) *bench {
	t.Helper()
	b := &bench{t: t, ctx: namespaces.WithNamespace(t.Context(), namespace)}
	bounds := &Bounds{}
	bounds.Set(Transfers{RetryDelay: time.Millisecond})
	s, err := Open(t.Context(), Config{
		Client: c, Namespace: namespace, Snapshotter: engine.Snapshotter(), Registries: remote.New(r),
		Transfers: bounds,
		Events: func(m events.Message) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, string(m.Action)+" "+m.Actor.ID+" "+m.Actor.Attributes["name"])
		},
		InUse: func(string) (running, stopped []string) { return b.running, b.stopped },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Store, b.Catalog = s, s.catalog
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// Resolve gives what tests look at one by one.
func (b *bench) Resolve(ctx context.Context, ref string, p *ocispec.Platform) (id string, chain digest.Digest, img *dockerspec.DockerOCIImage, err error) {
	got, err := b.Store.Resolve(ctx, ref, p)
	return got.ID, got.Chain, got.Config, err
}

// told returns the events since the last call.
func (b *bench) told() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.events
	b.events = nil
	return out
}

// sample makes an archive without BusyBox's applets, which take no part here.
func sample(t testing.TB, o archive.Options) ([]byte, digest.Digest) {
	t.Helper()
	var buf bytes.Buffer
	o.Applets = []string{"sh"}
	if o.Busybox == "" {
		o.Busybox = smallFile(t)
	}
	id, err := archive.Write(&buf, o)
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), id
}

// smallFile stands in for BusyBox where nothing runs. It differs from test to
// test: namespaces of one containerd share blobs.
func smallFile(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "busybox")
	if err := os.WriteFile(name, []byte("#!"+t.Name()), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

// load loads an archive and returns the stream's text.
func (b *bench) load(data []byte) (string, error) {
	var out strings.Builder
	err := b.Load(b.ctx, bytes.NewReader(data), true, nil, func(m jsonstream.Message) error {
		_, err := io.WriteString(&out, m.Stream)
		return err
	})
	return out.String(), err
}

// have loads a sample image by these names and returns its ID.
func (b *bench) have(o archive.Options) string {
	b.t.Helper()
	data, id := sample(b.t, o)
	if _, err := b.load(data); err != nil {
		b.t.Fatal(err)
	}
	b.told()
	return id.String()
}

// known are the containerd names of all images.
func (b *bench) known() []string {
	b.t.Helper()
	list, err := b.Store.client.ImageService().List(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, img := range list {
		out = append(out, img.Name)
	}
	slices.Sort(out)
	return out
}

// left counts blobs and snapshots after a collection.
func (b *bench) left() (blobs, snapshots, ingests int) {
	b.t.Helper()
	if err := b.keeper.CollectNow(b.ctx); err != nil {
		b.t.Fatal(err)
	}
	return b.count()
}

func (b *bench) count() (blobs, snaps, ingests int) {
	b.t.Helper()
	store := b.Store.client.ContentStore()
	if err := store.Walk(b.ctx, func(content.Info) error { blobs++; return nil }); err != nil {
		b.t.Fatal(err)
	}
	if err := b.walkSnapshots(func() { snaps++ }); err != nil {
		b.t.Fatal(err)
	}
	active, err := store.ListStatuses(b.ctx, "")
	if err != nil {
		b.t.Fatal(err)
	}
	return blobs, snaps, len(active)
}

func is[T comparable](t testing.TB, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func same[T comparable](t testing.TB, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", fmt.Sprint(got), fmt.Sprint(want))
	}
}
