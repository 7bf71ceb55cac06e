package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/berth-engine/berth/pkg/images/layers"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// changes is a tar of one file.
func changes(t testing.TB, name, data string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestAssemble(t *testing.T) {
	b := newBench(t)
	parent := b.have(archive.Options{Names: []string{"base"}, Layers: 1, Cmd: []string{"old"}})
	at := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	config := dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{Cmd: []string{"new"}, Labels: map[string]string{"a": "b"}}}
	id, err := b.Assemble(b.ctx, Assembly{
		Parent: parent, Layer: bytes.NewReader(changes(t, "new-file", "text")), Config: config, Author: "me",
		History: ocispec.History{Created: &at, CreatedBy: "sh", Comment: "a comment"}, Name: "made:1",
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, b.told(), []string{"tag " + id + " made:1"})
	got, _, img, err := b.Resolve(b.ctx, "made:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, got, id)
	is(t, strings.Join(img.Config.Cmd, " "), "new")
	is(t, len(img.RootFS.DiffIDs), 3)
	is(t, img.Author, "me")
	is(t, *img.Created, at)
	history, err := b.History(b.ctx, id, nil)
	if err != nil || len(history) != 4 || history[0].Comment != "a comment" || history[0].Size == 0 {
		t.Errorf("%+v %v", history, err)
	}
	// Without a layer only the configuration changes, and the parent may go.
	second, err := b.Assemble(b.ctx, Assembly{Parent: id, Config: config, History: ocispec.History{CreatedBy: "LABEL"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"base", "made:1"} {
		if _, err := b.Remove(b.ctx, ref, false, false); err != nil {
			t.Fatal(err)
		}
	}
	blobs, snaps, ingests := b.left()
	is(t, blobs, 5) // manifest, configuration, three layers
	is(t, snaps, 3)
	is(t, ingests, 0)
	if _, _, img, err = b.Resolve(b.ctx, second, nil); err != nil || len(img.History) != 5 || !img.History[4].EmptyLayer {
		t.Errorf("%+v %v", img, err)
	}
}

func TestAssembleFromNothing(t *testing.T) {
	b := newBench(t)
	arm := ocispec.Platform{OS: "linux", Architecture: "arm64"}
	id, err := b.Assemble(b.ctx, Assembly{Platform: &arm, Layer: bytes.NewReader(gzipped(t, changes(t, "f", "x"))), Name: "made"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := b.Inspect(b.ctx, "made:latest", catalog.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	is(t, info.ID, id)
	is(t, info.Architecture, "arm64")
	is(t, len(info.RootFS.Layers), 1)
}

func TestAssembleBad(t *testing.T) {
	b := newBench(t)
	gone := errors.New("gone")
	for name, c := range map[string]struct {
		a  Assembly
		is func(error) bool
	}{
		"no parent":   {Assembly{Parent: "nothing"}, errdefs.IsNotFound},
		"no name":     {Assembly{Name: "UPPER"}, errdefs.IsInvalidArgument},
		"digest":      {Assembly{Name: "x@sha256:" + strings.Repeat("0", 64)}, errdefs.IsInvalidArgument},
		"no tar":      {Assembly{Layer: strings.NewReader(strings.Repeat("text", 1000))}, errdefs.IsInvalidArgument},
		"cut":         {Assembly{Layer: bytes.NewReader(gzipped(t, changes(t, "f", "x"))[:40])}, errdefs.IsInvalidArgument},
		"client left": {Assembly{Layer: iotest.ErrReader(gone)}, func(err error) bool { return errors.Is(err, gone) }},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := b.Assemble(b.ctx, c.a); !c.is(err) {
				t.Error(err)
			}
			same(t, b.known(), nil)
			blobs, snaps, ingests := b.count()
			is(t, blobs+snaps+ingests, 0)
		})
	}
}

// noDiffs is a differ that nothing is asked of.
type noDiffs struct{ client.DiffService }

func (noDiffs) Apply(context.Context, ocispec.Descriptor, []mount.Mount, ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, errors.New("a layer is read again")
}

// TestAssembleUnpacksOnce: a layer is unpacked while it is stored, and not again.
func TestAssembleUnpacksOnce(t *testing.T) {
	b := newBench(t)
	parent := b.have(archive.Options{Names: []string{"base"}, Layers: 1})
	c, err := client.New(socket, client.WithServices(client.WithDiffService(noDiffs{})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if b.layers, err = layers.New(b.ctx, c, engine.Snapshotter(), true); err != nil {
		t.Fatal(err)
	}
	layer := changes(t, "file", strings.Repeat("content ", 1<<20))
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(layer); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	var made []string
	for i, in := range [][]byte{layer, z.Bytes(), layer} { // the layers of all have one diff ID
		id, err := b.Assemble(b.ctx, Assembly{Parent: parent, Layer: bytes.NewReader(in), Author: strconv.Itoa(i)})
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, id)
	}
	if _, err := b.Assemble(b.ctx, Assembly{Layer: bytes.NewReader(layer)}); err != nil {
		t.Fatal(err)
	}
	var active []string
	if err := c.SnapshotService(engine.Snapshotter()).Walk(b.ctx, func(_ context.Context, i snapshots.Info) error {
		if i.Kind == snapshots.KindActive {
			active = append(active, i.Name)
		}
		return nil
	}); err != nil || len(active) > 0 {
		t.Errorf("left: %q, %v", active, err)
	}
	if len(slices.Compact(slices.Sorted(slices.Values(made)))) != len(made) {
		t.Errorf("images are one: %q", made)
	}
}
