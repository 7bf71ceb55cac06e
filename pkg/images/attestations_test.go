package images

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/image"
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
	layer, config := add(catalog.MediaTypeInToto, statement), add(ocispec.MediaTypeImageConfig, `{"rootfs":{"type":"layers"}}`)
	manifest := add(ocispec.MediaTypeImageManifest, fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[
		{"mediaType":%q,"digest":%q,"size":%d,"annotations":{%q:"https://slsa.dev/provenance/v1"}}]}`,
		ocispec.MediaTypeImageManifest, config.MediaType, config.Digest, config.Size, layer.MediaType, layer.Digest, layer.Size, catalog.AnnotationPredicateType))
	index := add(ocispec.MediaTypeImageIndex, fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[
		{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":"linux","architecture":"amd64"}},
		{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":"unknown","architecture":"unknown"},"annotations":{%q:"attestation-manifest",%q:%q}}]}`,
		ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest, id, len(files["blobs/sha256/"+id.Encoded()]),
		manifest.MediaType, manifest.Digest, manifest.Size, catalog.AnnotationReferenceType, catalog.AnnotationReferenceDigest, id))
	delete(files, "manifest.json")
	files["index.json"] = fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"io.containerd.image.name":"docker.io/library/x:1"}}]}`, index.MediaType, index.Digest, index.Size)
	if _, err := b.load(tarFiles(t, files)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		o    catalog.AttestationOptions
		n    int
		body bool
	}{
		{catalog.AttestationOptions{}, 1, false}, {catalog.AttestationOptions{Bodies: true, Types: []string{"other", "https://slsa.dev/provenance/v1"}}, 1, true}, {catalog.AttestationOptions{Types: []string{"other"}}, 0, false},
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
	if _, err := b.Attestations(b.ctx, "x:1", catalog.AttestationOptions{Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64"}}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	plain := b.have(archive.Options{Names: []string{"plain"}, User: "1"})
	if got, err := b.Attestations(b.ctx, plain, catalog.AttestationOptions{}); err != nil || got == nil || len(got) != 0 {
		t.Error(got, err)
	}
}

const provenance = "https://slsa.dev/provenance/v1"

// attest pushes a statement about a manifest and returns the member of an index
// that it makes.
func (r *registryServer) attest(repo string, about digest.Digest) ocispec.Descriptor {
	r.t.Helper()
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v0.1","predicateType":%q,"subject":[{"digest":{"sha256":%q}}]}`, provenance, about.Encoded())
	// As BuildKit writes it: the statements count as layers.
	config := fmt.Appendf(nil, `{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`, digest.FromBytes(statement))
	r.blob(repo, statement)
	r.blob(repo, config)
	doc := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[{"mediaType":%q,"digest":%q,"size":%d,"annotations":{%q:%q}}]}`,
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, digest.FromBytes(config), len(config), catalog.MediaTypeInToto, digest.FromBytes(statement), len(statement), catalog.AnnotationPredicateType, provenance)
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(doc), Size: int64(len(doc)), Platform: &ocispec.Platform{OS: "unknown", Architecture: "unknown"}}
	d.Annotations = map[string]string{catalog.AnnotationReferenceType: "attestation-manifest", catalog.AnnotationReferenceDigest: about.String()}
	r.manifest(repo, d.Digest.String(), d.MediaType, doc)
	return d
}

// TestPullAttestations: what attests the image of this platform comes with it, is
// seen, and goes along when the image is pushed or saved.
func TestPullAttestations(t *testing.T) {
	r, b := startRegistry(t, false), newBench(t)
	arm := ocispec.Platform{OS: "linux", Architecture: "arm64"}
	m1, m2 := r.push("x", "amd", archive.Options{}), r.push("x", "arm", archive.Options{Platform: arm, Layers: 1})
	a1, a2 := r.attest("x", m1.Digest), r.attest("x", m2.Digest)
	r.pushIndex("x", "two", m1, m2, a1, a2)
	one := r.pushIndex("x", "one", m1, a1)
	for ref, want := range map[string]map[digest.Digest]bool{
		r.host + "/x:two": {m1.Digest: true, m2.Digest: false, a1.Digest: true, a2.Digest: false},
		r.host + "/x:one": {m1.Digest: true, a1.Digest: true},
	} {
		if _, err := b.fetched(ref, PullOptions{}); err != nil {
			t.Fatal(err)
		}
		if b.left(); len(b.attested(ref)) != 1 {
			t.Errorf("%s: no statement is left after a collection", ref)
		}
		got, err := b.Inspect(b.ctx, ref, catalog.InspectOptions{Manifests: true})
		if err != nil || len(got.Manifests) != len(want) {
			t.Fatal(got.Manifests, err)
		}
		for _, m := range got.Manifests {
			kind, about := image.ManifestKindImage, digest.Digest("")
			if m.ID == a1.Digest.String() || m.ID == a2.Digest.String() {
				kind = image.ManifestKindAttestation
				about = m.AttestationData.For
			}
			if m.Available != want[digest.Digest(m.ID)] || m.Kind != kind || m.ID == a1.Digest.String() && about != m1.Digest {
				t.Errorf("%s: %+v", ref, m)
			}
		}
	}
	// Pushed elsewhere as a whole, and saved and loaded elsewhere.
	there := startRegistry(t, false)
	if err := b.Tag(b.ctx, r.host+"/x:one", there.host+"/y:1"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.sent(there.host+"/y:1", PushOptions{}); err != nil {
		t.Fatal(err)
	}
	there.has("y", "1", one)
	there.has("y", a1.Digest.String(), a1.Digest)
	var saved bytes.Buffer
	if err := b.Save(b.ctx, []string{r.host + "/x:one"}, nil, &saved); err != nil {
		t.Fatal(err)
	}
	other := newBench(t)
	if _, err := other.load(saved.Bytes()); err != nil {
		t.Fatal(err)
	}
	same(t, other.attested(r.host+"/x:one"), []string{provenance})
}

// attested are the types of what is stated about an image.
func (b *bench) attested(ref string) (types []string) {
	b.t.Helper()
	list, err := b.Attestations(b.ctx, ref, catalog.AttestationOptions{Bodies: true})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range list {
		types = append(types, s.PredicateType)
	}
	return types
}

// TestPullLacksAttestations: a registry without them still has the image.
func TestPullLacksAttestations(t *testing.T) {
	r, b := startRegistry(t, false), newBench(t)
	m := r.push("x", "1", archive.Options{})
	a := r.attest("x", m.Digest)
	r.pushIndex("x", "1", m, a)
	trimmed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, a.Digest.String()) {
			http.NotFound(w, req)
			return
		}
		forward(w, req, r.host)
	}))
	defer trimmed.Close()
	ref := strings.TrimPrefix(trimmed.URL, "http://") + "/x:1"
	if _, err := b.fetched(ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := b.Resolve(b.ctx, ref, nil); err != nil {
		t.Error(err)
	}
	same(t, b.attested(ref), nil)
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
