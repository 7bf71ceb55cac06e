package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layoutImages reads an OCI layout, which new docker save writes as well.
func (s *scan) layoutImages(ctx context.Context) ([]Image, error) {
	var layout ocispec.ImageLayout
	if err := json.Unmarshal(s.layout, &layout); err != nil {
		return nil, invalid("invalid archive: %s: %v", ocispec.ImageLayoutFile, err)
	}
	if layout.Version != ocispec.ImageLayoutVersion {
		return nil, invalid("invalid archive: unsupported OCI layout version %q", layout.Version)
	}
	var index ocispec.Index
	if err := json.Unmarshal(s.index, &index); err != nil {
		return nil, invalid("invalid archive: %s: %v", ocispec.ImageIndexFile, err)
	}
	if len(index.Manifests) == 0 || len(index.Manifests) > maxImages {
		return nil, invalid("invalid archive: %s lists %d images", ocispec.ImageIndexFile, len(index.Manifests))
	}
	var out []Image
	for _, m := range index.Manifests {
		if !images.IsManifestType(m.MediaType) && !images.IsIndexType(m.MediaType) {
			continue
		}
		if err := s.verify(ctx, m); err != nil {
			return nil, err
		}
		name := m.Annotations[images.AnnotationImageName]
		if name == "" {
			name = m.Annotations[ocispec.AnnotationRefName]
		}
		full, err := canonical(name)
		if err != nil {
			return nil, err
		}
		out = append(out, Image{Name: full, Target: target(m)})
	}
	if len(out) == 0 {
		return nil, invalid("unrecognized image format")
	}
	return out, nil
}

// verify checks that the archive, or the store before it, has the document
// that m describes, and that it is what it is said to be.
func (s *scan) verify(ctx context.Context, m ocispec.Descriptor) error {
	if _, err := blob.Children(ctx, s.store, m); err != nil {
		return invalid("invalid archive: %v", err)
	}
	return nil
}

// target keeps of a descriptor what may enter a record.
func target(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Platform: d.Platform}
}

// canonical completes a name as docker does; "" stays "".
func canonical(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	if len(name) > maxName {
		return "", invalid("invalid tag: longer than %d bytes", maxName)
	}
	ref, err := reference.ParseDockerRef(name)
	if err != nil {
		return "", invalid("invalid tag %q: %v", name, err)
	}
	return ref.String(), nil
}

// dockerManifest is one image in manifest.json.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// dockerImages reads manifest.json of old docker save, whose images have no
// manifests: they are made here, always the same for the same archive.
func (s *scan) dockerImages(ctx context.Context) ([]Image, error) {
	var list []dockerManifest
	if err := json.Unmarshal(s.manifest, &list); err != nil {
		return nil, invalid("invalid archive: manifest.json: %v", err)
	}
	if len(list) == 0 || len(list) > maxImages {
		return nil, invalid("invalid archive: manifest.json lists %d images", len(list))
	}
	var out []Image
	for _, m := range list {
		desc, err := s.dockerImage(ctx, m)
		if err != nil {
			return nil, err
		}
		if len(m.RepoTags) == 0 {
			out = append(out, Image{Target: desc})
		}
		if len(m.RepoTags) > maxImages {
			return nil, invalid("invalid archive: an image has %d tags", len(m.RepoTags))
		}
		for _, tag := range m.RepoTags {
			name, err := canonical(tag)
			if err != nil {
				return nil, err
			}
			out = append(out, Image{Name: name, Target: desc})
		}
	}
	return out, nil
}

// dockerImage writes the manifest of one image.
func (s *scan) dockerImage(ctx context.Context, m dockerManifest) (ocispec.Descriptor, error) {
	config, err := s.file(m.Config)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	config.MediaType = images.MediaTypeDockerSchema2Config
	img, err := blob.Config(ctx, s.store, config)
	if err != nil {
		return ocispec.Descriptor{}, invalid("invalid archive: image configuration: %v", err)
	}
	if want, got := len(m.Layers), len(img.RootFS.DiffIDs); want != got || got > maxLayers {
		return ocispec.Descriptor{}, invalid("invalid manifest, layers length mismatch: expected %d, got %d", want, got)
	}
	layers := make([]ocispec.Descriptor, 0, len(m.Layers))
	for _, name := range m.Layers {
		layer, err := s.file(name)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		if layer.MediaType, err = s.layerType(ctx, layer); err != nil {
			return ocispec.Descriptor{}, err
		}
		layers = append(layers, layer)
	}
	doc, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: images.MediaTypeDockerSchema2Manifest,
		Config: config, Layers: layers,
	})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc := ocispec.Descriptor{MediaType: images.MediaTypeDockerSchema2Manifest, Digest: digest.FromBytes(doc), Size: int64(len(doc))}
	if err := content.WriteBlob(ctx, s.store, s.ref+"-"+desc.Digest.Encoded(), bytes.NewReader(doc), desc); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("store manifest: %w", err)
	}
	return desc, nil
}

// file finds a blob by the name that manifest.json gives it.
func (s *scan) file(name string) (ocispec.Descriptor, error) {
	c, err := clean(name)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc, ok := s.blobs[c]
	if !ok {
		return ocispec.Descriptor{}, invalid("invalid archive: %q is missing", path.Clean(name))
	}
	return desc, nil
}

// layerType tells the media type of a layer by its first bytes.
func (s *scan) layerType(ctx context.Context, desc ocispec.Descriptor) (string, error) {
	ra, err := s.store.ReaderAt(ctx, desc)
	if err != nil {
		return "", fmt.Errorf("read layer: %w", err)
	}
	defer ra.Close()
	magic := make([]byte, 4)
	n, err := ra.ReadAt(magic, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read layer: %w", err)
	}
	switch magic = magic[:n]; {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return images.MediaTypeDockerSchema2LayerGzip, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return images.MediaTypeDockerSchema2LayerZstd, nil
	}
	return images.MediaTypeDockerSchema2Layer, nil
}
