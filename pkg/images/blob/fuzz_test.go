package blob

import (
	"context"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// one is a store of one document.
type one []byte

func (o one) ReaderAt(ctx context.Context, d ocispec.Descriptor) (content.ReaderAt, error) {
	return document(o).ReaderAt(ctx, d)
}

// FuzzDocuments: whatever a registry or archive has as index, manifest or
// configuration, it is read or refused, and what is read can be relied on.
func FuzzDocuments(f *testing.F) {
	for _, s := range []string{
		`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[{"digest":"x","size":-1}]}`,
		`{"schemaVersion":2,"manifests":[{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"platform":{"os":"linux"}}]}`,
		`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:0"]},"config":{"Cmd":["sh"],"Healthcheck":{}}}`, `{}`, `[]`, `null`, `{"layers":null,"manifests":[{}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		desc := ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
		for _, media := range []string{ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, images.MediaTypeDockerSchema2Manifest, images.MediaTypeDockerSchema2ManifestList} {
			desc.MediaType = media
			children, err := Children(t.Context(), one(data), desc)
			if err != nil && !errdefs.IsInvalidArgument(err) {
				t.Fatal(err)
			}
			for _, c := range children {
				if c.Digest.Validate() != nil || c.Size < 0 {
					t.Fatal(c)
				}
			}
		}
		img, err := Config(t.Context(), one(data), desc)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Fatal(err)
			}
			return
		}
		for _, d := range img.RootFS.DiffIDs {
			if d.Validate() != nil {
				t.Fatal(d)
			}
		}
	})
}
