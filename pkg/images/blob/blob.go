// Package blob reads the small JSON documents of images — indexes, manifests
// and configurations — from a content store. They were written by strangers,
// so no read is longer than its bound, and nothing that a descriptor claims is
// used before it has been checked.
package blob

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds in bytes. Registries refuse manifests over 4 MiB (OCI distribution
// specification, "Pushing Manifests"); the largest configurations known, with
// histories of hundreds of steps, stay under 1 MiB.
const (
	MaxManifest = 4 << 20
	MaxConfig   = 8 << 20
)

// Read returns the whole blob. InvalidArgument when it is longer than max or
// not as long as the descriptor says, NotFound when it is not there.
func Read(ctx context.Context, store content.Provider, desc ocispec.Descriptor, max int64) ([]byte, error) {
	if err := Check(desc); err != nil {
		return nil, err
	}
	// Data embedded in the descriptor would be taken for the blob.
	ra, err := store.ReaderAt(ctx, ocispec.Descriptor{Digest: desc.Digest, Size: desc.Size, MediaType: desc.MediaType})
	if err != nil {
		return nil, err
	}
	defer ra.Close()
	size := ra.Size()
	if size > max {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is %d bytes long, the limit is %d", desc.Digest, size, max))
	}
	if desc.Size != size {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s is %d bytes long, its descriptor says %d", desc.Digest, size, desc.Size))
	}
	p := make([]byte, size)
	if n, err := ra.ReadAt(p, 0); int64(n) != size {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read %s: %w", desc.Digest, err)
	}
	return p, nil
}

// JSON decodes the blob into v, with the errors of Read. Malformed JSON is
// InvalidArgument.
func JSON(ctx context.Context, store content.Provider, desc ocispec.Descriptor, max int64, v any) error {
	p, err := Read(ctx, store, desc, max)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(p, v); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s: %v", desc.Digest, err))
	}
	return nil
}

// Config reads an image configuration, with the errors of JSON; diff IDs are
// well-formed digests.
func Config(ctx context.Context, store content.Provider, desc ocispec.Descriptor) (*dockerspec.DockerOCIImage, error) {
	var img dockerspec.DockerOCIImage
	if err := JSON(ctx, store, desc, MaxConfig, &img); err != nil {
		return nil, err
	}
	for _, d := range img.RootFS.DiffIDs {
		if err := Check(ocispec.Descriptor{Digest: d}); err != nil {
			return nil, fmt.Errorf("%s: diff ID: %w", desc.Digest, err)
		}
	}
	return &img, nil
}

// Check refuses descriptors whose digest is malformed (methods of
// digest.Digest panic on those) or whose size is negative.
func Check(desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("digest %q: %v", trim(desc.Digest), err))
	}
	if desc.Size < 0 {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s: negative size", desc.Digest))
	}
	return nil
}

// Children lists what an index or manifest refers to, and nothing for other
// blobs. Errors as of JSON; also InvalidArgument when the document is of
// another kind than its media type says, or refers to a malformed digest.
func Children(ctx context.Context, store content.Provider, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if !images.IsManifestType(desc.MediaType) && !images.IsIndexType(desc.MediaType) {
		return nil, Check(desc)
	}
	p, err := Read(ctx, store, desc, MaxManifest)
	if err != nil {
		return nil, err
	}
	children, err := images.Children(ctx, document(p), desc)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s: %v", desc.Digest, err))
	}
	for _, c := range children {
		if err := Check(c); err != nil {
			return nil, fmt.Errorf("%s: %w", desc.Digest, err)
		}
	}
	return children, nil
}

// document is a content.Provider of one blob that is in memory.
type document []byte

func (d document) ReaderAt(context.Context, ocispec.Descriptor) (content.ReaderAt, error) {
	return memory{bytes.NewReader(d)}, nil
}

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

func trim(d digest.Digest) digest.Digest {
	if len(d) > 80 {
		return d[:80]
	}
	return d
}
