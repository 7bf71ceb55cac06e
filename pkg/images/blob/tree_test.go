package blob

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// shelf is a content store that names its blobs.
type shelf struct {
	content.Store
	t     *testing.T
	names map[digest.Digest]string
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &shelf{store, t, map[digest.Digest]string{}}
}

// put stores a blob, or only describes it.
func (s *shelf) put(name, mediaType string, data []byte, here bool) ocispec.Descriptor {
	s.t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	s.names[d.Digest] = name
	if here {
		if err := content.WriteBlob(s.t.Context(), s, name, bytes.NewReader(data), d); err != nil {
			s.t.Fatal(err)
		}
	}
	return d
}

func (s *shelf) layer(name, mediaType string, here bool) ocispec.Descriptor {
	return s.put(name, mediaType, []byte(name), here)
}

func (s *shelf) manifest(name string, layers ...ocispec.Descriptor) ocispec.Descriptor {
	config := s.put("config of "+name, ocispec.MediaTypeImageConfig, fmt.Appendf(nil, `{"author":%q}`, name), true)
	doc, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.put(name, ocispec.MediaTypeImageManifest, doc, true)
}

func (s *shelf) indexOf(name string, members ...ocispec.Descriptor) ocispec.Descriptor {
	doc, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: members})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.put(name, ocispec.MediaTypeImageIndex, doc, true)
}

func TestTree(t *testing.T) {
	s := newShelf(t)
	const plain, foreign = ocispec.MediaTypeImageLayer, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	shared := s.layer("shared", plain, true)
	whole := s.manifest("whole", shared, shared)
	partial := s.manifest("partial", shared, s.layer("lost", plain, false))
	windows := s.manifest("windows", s.layer("base", foreign, false), s.layer("top", plain, true))
	absent := s.put("absent", ocispec.MediaTypeImageManifest, []byte("{}"), false)
	deep := s.indexOf("0", whole)
	for i := range 20 {
		deep = s.indexOf(fmt.Sprint(i), deep)
	}
	for name, c := range map[string]struct {
		root ocispec.Descriptor
		drop digest.Digest
		want []string
		fail func(error) bool
	}{
		"manifest":      {whole, "", []string{"config of whole", "shared", "whole"}, nil},
		"partial":       {partial, "", []string{"partial"}, nil},
		"foreign layer": {windows, "", []string{"config of windows", "top", "windows"}, nil},
		"index": {s.indexOf("index", whole, partial, absent, windows), "",
			[]string{"config of whole", "shared", "whole", "partial", "config of windows", "top", "windows", "index"}, nil},
		"chosen": {s.indexOf("chosen", partial, whole), whole.Digest, []string{"partial", "chosen"}, nil},
		"absent": {absent, "", nil, errdefs.IsNotFound},
		"deep":   {deep, "", nil, errdefs.IsInvalidArgument},
	} {
		list, err := Tree(context.Background(), s, c.root, func(d ocispec.Descriptor) bool { return d.Digest != c.drop })
		if c.fail != nil {
			if !c.fail(err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var got []string
		for _, d := range list {
			got = append(got, s.names[d.Digest])
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q %v, want %q", name, got, err, c.want)
		}
	}
}
