package images

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestAttestations(t *testing.T) {
	b := newBench(t)
	data, id := sample(t, archive.Options{})
	files := untar(t, data)
	add := func(media, doc string) ocispec.Descriptor {
		d := digest.FromString(doc)
		files["blobs/sha256/"+d.Encoded()] = []byte(doc)
		return ocispec.Descriptor{MediaType: media, Digest: d, Size: int64(len(doc))}
	}
	statement := `{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://slsa.dev/provenance/v1"}`
	layer, config := add(mediaTypeInToto, statement), add(ocispec.MediaTypeImageConfig, `{"rootfs":{"type":"layers"}}`)
	manifest := add(ocispec.MediaTypeImageManifest, fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[
		{"mediaType":%q,"digest":%q,"size":%d,"annotations":{%q:"https://slsa.dev/provenance/v1"}}]}`,
		ocispec.MediaTypeImageManifest, config.MediaType, config.Digest, config.Size, layer.MediaType, layer.Digest, layer.Size, annotationPredicateType))
	index := add(ocispec.MediaTypeImageIndex, fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[
		{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":"linux","architecture":"amd64"}},
		{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":"unknown","architecture":"unknown"},"annotations":{%q:"attestation-manifest",%q:%q}}]}`,
		ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, id, len(files["blobs/sha256/"+id.Encoded()]),
		manifest.MediaType, manifest.Digest, manifest.Size, annotationReferenceType, annotationReferenceDigest, id))
	delete(files, "manifest.json")
	files["index.json"] = fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"io.containerd.image.name":"docker.io/library/x:1"}}]}`, index.MediaType, index.Digest, index.Size)
	if _, err := b.load(tarFiles(t, files)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o    AttestationOptions
		n    int
		body bool
	}{
		{AttestationOptions{}, 1, false}, {AttestationOptions{Bodies: true, Types: []string{"other", "https://slsa.dev/provenance/v1"}}, 1, true}, {AttestationOptions{Types: []string{"other"}}, 0, false},
	} {
		got, err := b.Attestations(b.ctx, "x:1", c.o)
		if err != nil || len(got) != c.n {
			t.Fatalf("%+v: %+v, %v", c.o, got, err)
		}
		if c.n > 0 && (got[0].Descriptor.Digest != layer.Digest || got[0].PredicateType != "https://slsa.dev/provenance/v1" || (got[0].Statement != nil) != c.body) {
			t.Errorf("%+v: %+v", c.o, got)
		}
		if c.body && string(*got[0].Statement) != statement {
			t.Errorf("statement %s", *got[0].Statement)
		}
	}
	if _, err := b.Attestations(b.ctx, "x:1", AttestationOptions{Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64"}}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	plain := b.have(archive.Options{Names: []string{"plain"}, User: "1"})
	if got, err := b.Attestations(b.ctx, plain, AttestationOptions{}); err != nil || got == nil || len(got) != 0 {
		t.Error(got, err)
	}
}

// untar returns the files of a tar.
func untar(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		hdr, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err == nil && hdr.Typeflag == tar.TypeReg {
			files[hdr.Name], err = io.ReadAll(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
