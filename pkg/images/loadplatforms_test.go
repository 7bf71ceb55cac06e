package images

import (
	"bytes"
	"testing"

	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
)

// TestLoadOnePlatformAfterAll: the other platform of an image that was removed a moment
// before, and is not collected yet, does not come back with the one that is loaded.
func TestLoadOnePlatformAfterAll(t *testing.T) {
	r, b := startRegistry(t, false), newBench(t)
	amd, arm := ocispec.Platform{OS: "linux", Architecture: "amd64"}, ocispec.Platform{OS: "linux", Architecture: "arm64"}
	m1, m2 := r.push("y", "amd", archive.Options{Layers: 2}), r.push("y", "arm", archive.Options{Platform: arm, Layers: 1})
	r.pushIndex("y", "all", m1, m2)
	ref := r.host + "/y:all"
	for _, p := range []*ocispec.Platform{nil, &arm} {
		if _, err := b.fetched(ref, PullOptions{Platform: p}); err != nil {
			t.Fatal(err)
		}
	}
	var saved bytes.Buffer
	if err := b.Save(b.ctx, []string{ref}, nil, &saved); err != nil {
		t.Fatal(err)
	}
	other := newBench(t)
	if _, err := other.load(saved.Bytes()); err != nil {
		t.Fatal(err)
	}
	for _, name := range other.known() { // as a removal does, without the collection behind it
		if err := other.Store.client.ImageService().Delete(other.ctx, name); err != nil {
			t.Fatal(err)
		}
		if err := other.catalog.Refresh(other.ctx, catalog.Request{Names: []string{name}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Load(other.ctx, &saved, true, []ocispec.Platform{amd}, func(jsonstream.Message) error { return nil }); err != nil {
		t.Fatal(err)
	}
	_, err := other.Inspect(other.ctx, ref, catalog.InspectOptions{Platform: &arm})
	if !errdefs.IsNotFound(err) {
		t.Errorf("arm64: %v", err)
	}
	blobs, _, _ := other.left()
	is(t, blobs, 6) // index, manifest, configuration and three layers
}
