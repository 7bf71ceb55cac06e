package images

import (
	"testing"

	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestLoadOnePlatformAfterAll: the other platform of an image that was removed a moment
// before, and is not collected yet, does not come back with the one that is loaded.
func TestLoadOnePlatformAfterAll(t *testing.T) {
	ref, saved := bothPlatforms(t)
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
	if err := other.Load(other.ctx, saved, true, []ocispec.Platform{amd}, func(jsonstream.Message) error { return nil }); err != nil {
		t.Fatal(err)
	}
	_, err := other.Inspect(other.ctx, ref, catalog.InspectOptions{Platform: &arm})
	if !errdefs.IsNotFound(err) {
		t.Errorf("arm64: %v", err)
	}
	blobs, _, _ := other.left()
	is(t, blobs, 6) // index, manifest, configuration and three layers
}
