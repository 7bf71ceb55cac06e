package runtime

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestGunzip: containerd, which runs here, has layers decompressed by us, what is
// broken among them too, and by itself what is no business of ours.
func TestGunzip(t *testing.T) {
	text := bytes.Repeat([]byte("layer "), 10000)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(packed.Bytes())
	broken[len(broken)-5]++ // of the checksum
	for name, c := range map[string]struct {
		media string
		in    []byte
		ours  bool
		err   string
	}{
		"OCI":       {ocispec.MediaTypeImageLayerGzip, packed.Bytes(), true, ""},
		"Docker":    {images.MediaTypeDockerSchema2LayerGzip, packed.Bytes(), true, ""},
		"foreign":   {images.MediaTypeDockerSchema2LayerForeignGzip, packed.Bytes(), true, ""},
		"untold":    {images.MediaTypeDockerSchema2Layer, packed.Bytes(), true, ""},
		"plain":     {ocispec.MediaTypeImageLayerGzip, text, true, ""},
		"broken":    {ocispec.MediaTypeImageLayerGzip, broken, true, "gzip: invalid checksum"},
		"truncated": {ocispec.MediaTypeImageLayerGzip, packed.Bytes()[:packed.Len()/2], true, "unexpected EOF"},
		"as it is":  {ocispec.MediaTypeImageLayer, text, false, ""},
		"zstd":      {ocispec.MediaTypeImageLayerZstd, text, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := diff.GetProcessor(t.Context(), diff.NewProcessorChain(c.media, bytes.NewReader(c.in)), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if _, ours := p.(layer); ours != c.ours || p.MediaType() != ocispec.MediaTypeImageLayer {
				t.Errorf("%T makes %s", p, p.MediaType())
			}
			got, err := io.ReadAll(p)
			if err != nil && err.Error() != c.err || err == nil && (c.err != "" || !bytes.Equal(got, text)) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}
