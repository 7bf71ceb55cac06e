package blob

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// WriteJSON writes v as a blob of its own and returns its descriptor. The context
// should carry a lease: nothing refers to the blob yet.
func WriteJSON(ctx context.Context, store content.Ingester, mediaType string, v any) (ocispec.Descriptor, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(doc), Size: int64(len(doc))}
	if err := content.WriteBlob(ctx, store, "berth-json-"+desc.Digest.Encoded(), bytes.NewReader(doc), desc); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("store %s: %w", mediaType, err)
	}
	return desc, nil
}
