package images

import (
	"context"

	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// statements fetches what builders state about the manifest that was picked: it
// belongs to the image, but there is nothing to unpack. A registry that lacks it, as
// mirrors and copies of single platforms do, does not make the pull fail.
func (f *fetch) statements(ctx context.Context) error {
	limit := semaphore.NewWeighted(int64(f.s.cfg.Transfers.get().Downloads))
	return images.Dispatch(ctx, images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		children, err := f.document(ctx, desc)
		if errdefs.IsNotFound(err) {
			f.s.log.Debug("images: the registry lacks an attestation", "reference", f.ref, "digest", desc.Digest)
			return nil, images.ErrSkipDesc
		}
		for i, c := range children {
			children[i] = catalog.Bare(c)
		}
		return children, err
	}), limit, f.attests...)
}
