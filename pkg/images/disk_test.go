package images

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/berth-engine/berth/pkg/images/policy"
	"github.com/berth-engine/berth/pkg/images/remote"
	"github.com/berth-engine/berth/pkg/runtime"
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
)

// disk is a bench on a file system of 1000 bytes whose use a test sets.
func newDisk(t *testing.T, p policy.Policy, used *uint64) (*bench, *watermark) {
	b := newBench(t)
	b.cfg.Disk.Policy = p
	return b, &watermark{s: b.Store, used: func() (uint64, uint64, error) {
		list, err := b.Store.client.ImageService().List(b.ctx)
		return *used * uint64(len(list)), 1000, err // each image takes as much
	}}
}

func TestWatermark(t *testing.T) {
	used := uint64(300)
	b, w := newDisk(t, policy.Policy{High: 80, Low: 65, Keep: []string{"kept"}}, &used)
	kept := b.have(archive.Options{Names: []string{"kept"}})
	b.have(archive.Options{Names: []string{"first"}, User: "1"})
	b.have(archive.Options{Names: []string{"second"}, User: "2"})
	if _, _, _, err := b.Resolve(b.ctx, "first", nil); err != nil { // used since
		t.Fatal(err)
	}
	w.s.cfg.Disk.Policy.DryRun = true
	if err := w.look(b.ctx); err != nil || len(b.known()) != 3 || !strings.Contains(w.told, "second") || strings.Contains(w.told, kept) {
		t.Error(b.known(), w.told, err)
	}
	w.s.cfg.Disk.Policy.DryRun = false
	if err := w.look(b.ctx); err != nil {
		t.Fatal(err)
	}
	same(t, b.known(), []string{"docker.io/library/first:latest", "docker.io/library/kept:latest"})
	// Images of containers stay, however full the disk is.
	used, b.stopped = 900, []string{"c"}
	if err := w.look(b.ctx); err != nil {
		t.Fatal(err)
	}
	is(t, len(b.known()), 2)
	b.stopped = nil
	if err := w.look(b.ctx); err != nil {
		t.Fatal(err)
	}
	same(t, b.known(), []string{"docker.io/library/kept:latest"})
	if used, size, err := statfs(t.TempDir())(); err != nil || used == 0 || size < used {
		t.Error(used, size, err)
	}
}

// TestDiscard: without its compressed layers an image runs, and can be the base of
// another, but not leave.
func TestDiscard(t *testing.T) {
	r := startRegistry(t, false)
	r.push("x", "1", archive.Options{Layers: 2})
	b := newBench(t)
	b.cfg.Disk.Discard, b.layers.Whole = true, false
	ref := r.host + "/x:1"
	if _, err := b.fetched(ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	loaded := b.have(archive.Options{Names: []string{"y"}, User: "7"})
	blobs, snaps, _ := b.left()
	is(t, blobs, 4) // manifests and configurations
	is(t, snaps, 3)
	for _, name := range []string{ref, loaded} {
		if _, _, _, err := b.Resolve(b.ctx, name, nil); err != nil {
			t.Error(err)
		}
		if err := b.Save(b.ctx, []string{name}, nil, nil); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "pull or load it again") {
			t.Error(err)
		}
	}
	// Another pull has nothing to fetch.
	out, err := b.fetched(ref, PullOptions{})
	if err != nil || count(out, ": Downloading") != 0 || count(out, ": Already exists") != 3 {
		t.Errorf("%v\n%s", err, strings.Join(out, "\n"))
	}
	made, err := b.Assemble(b.ctx, Assembly{Parent: ref, Layer: strings.NewReader(string(changes(t, "new", "text")))})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, img, err := b.Resolve(b.ctx, made, nil); err != nil || len(img.RootFS.DiffIDs) != 4 {
		t.Error(img, err)
	}
}

// TestSnapshotters: images on one that copies, and on one of another process.
func TestSnapshotters(t *testing.T) {
	dir := t.TempDir()
	sn, err := native.NewSnapshotter(filepath.Join(dir, "far"))
	if err != nil {
		t.Fatal(err)
	}
	defer sn.Close()
	server := grpc.NewServer()
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(sn))
	socket := filepath.Join(dir, "far.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	far := fmt.Sprintf("far%d", namespaceCount.Add(1)) // containerd's plugins are registered once in a process
	for name, proxies := range map[string]map[string]string{"native": nil, far: {far: socket}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			other, err := runtime.Open(t.Context(), runtime.Config{
				Namespace: "t", Root: filepath.Join(dir, "r"), State: filepath.Join(dir, "e"), Shim: "/nonexistent",
				Runtimes: map[string]runtime.Binary{"none": {Path: "/nonexistent"}}, Default: "none",
				Snapshotter: name, Proxies: proxies,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			s, err := Open(t.Context(), Config{Client: other.Client(), Namespace: "t", Snapshotter: name, Registries: remote.New(remote.Config{})})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			b := &bench{Store: s, ctx: s.context(t.Context()), t: t}
			b.have(archive.Options{Names: []string{"x"}, Layers: 2})
			_, chain, _, err := b.Resolve(b.ctx, "x", nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := other.Client().SnapshotService(name).Stat(b.ctx, chain.String()); err != nil {
				t.Error(err)
			}
			blobs, snaps, ingests := b.left()
			is(t, fmt.Sprint(blobs, snaps, ingests), "5 3 0")
		})
	}
}
