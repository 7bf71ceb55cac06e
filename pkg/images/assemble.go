package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/berth-engine/berth/pkg/images/archive"
	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/events"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Assembly is an image to be made of a parent, a layer and a configuration.
type Assembly struct {
	Parent   string            // ID or name of the image that the layer stands on; "" begins from nothing
	Platform *ocispec.Platform // picks the parent's manifest, is the image's own without a parent; nil is the host's
	// Layer is a tar of changes with OCI's whiteouts, plain or compressed by gzip,
	// zstd, bzip2 or xz. Nil adds no layer.
	Layer   io.Reader
	Config  dockerspec.DockerOCIImageConfig // whole: nothing is taken over from the parent
	Author  string
	History ocispec.History // of this step; its time (nil: now) is the image's, too, and EmptyLayer follows from Layer
	Name    string          // "repo" or "repo:tag" that it gets; "" for none
}

// Assemble makes an image, unpacks and names it, and returns its ID. A name that
// another image had is taken; that image stays, dangling. NotFound when there is
// no such parent, InvalidArgument for a name that is none or a layer that is no
// tar; nothing is left after an error.
func (s *Store) Assemble(ctx context.Context, a Assembly) (string, error) {
	t, name, err := assembler{s}.assemble(ctx, a)
	if err != nil {
		return "", err
	}
	id := t.Desc.Digest.String()
	if name != nil {
		s.cfg.publish(events.ActionTag, id, reference.FamiliarString(name), t.Labels())
	}
	return id, nil
}

// assembler makes images of parts.
type assembler struct{ s *Store }

func (m assembler) assemble(ctx context.Context, a Assembly) (_ *catalog.Target, name reference.NamedTagged, err error) {
	if a.Name != "" {
		if name, err = parseTag(a.Name); err != nil {
			return nil, nil, err
		}
	}
	s := m.s
	ctx, done, err := s.keeper.Lease(s.context(ctx))
	if err != nil {
		return nil, nil, err
	}
	defer func() { done(err == nil) }()
	desc, err := m.write(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	if err := connect(ctx, s.client.ContentStore(), desc, nil); err != nil {
		return nil, nil, err
	}
	if err := s.layers.Unpack(ctx, desc); err != nil {
		return nil, nil, fmt.Errorf("unpack image: %w", err)
	}
	img := archive.Image{Target: desc}
	if name != nil {
		img.Name = name.String()
	}
	if err := s.nameLoaded(ctx, []archive.Image{img}); err != nil {
		return nil, nil, err
	}
	t, ok := s.catalog.View().Targets[desc.Digest]
	if !ok {
		return nil, nil, notFound("No such image: %s", desc.Digest) // removed by another client meanwhile
	}
	return t, name, nil
}

// write writes layer, configuration and manifest.
func (m assembler) write(ctx context.Context, a Assembly) (desc ocispec.Descriptor, err error) {
	store := m.s.client.ContentStore()
	img, layers, err := m.parent(ctx, a)
	if err != nil {
		return desc, err
	}
	if a.Layer != nil {
		layer, diffID, err := m.layer(ctx, a.Layer, img.RootFS.DiffIDs)
		if err != nil {
			return desc, err
		}
		layers, img.RootFS.DiffIDs = append(layers, layer), append(img.RootFS.DiffIDs, diffID)
	}
	step := a.History
	if step.EmptyLayer = a.Layer == nil; step.Created == nil {
		now := time.Now().UTC()
		step.Created = &now
	}
	img.Created, img.Author, img.Config = step.Created, a.Author, a.Config
	img.History = append(img.History, step)
	config, err := blob.WriteJSON(ctx, store, ocispec.MediaTypeImageConfig, img)
	if err != nil {
		return desc, err
	}
	return blob.WriteJSON(ctx, store, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: layers,
	})
}

// layer stores a layer, and unpacks it meanwhile when those below are unpacked.
func (m assembler) layer(ctx context.Context, content io.Reader, below []digest.Digest) (desc ocispec.Descriptor, diffID digest.Digest, err error) {
	passing, err := m.s.layers.Pass(ctx, below)
	if errdefs.IsNotFound(err) {
		return archive.WriteLayer(ctx, m.s.client.ContentStore(), content, nil)
	}
	if err != nil {
		return desc, "", err
	}
	desc, diffID, err = archive.WriteLayer(ctx, m.s.client.ContentStore(), content, func(r io.Reader) { passing.Unpack(ctx, r) })
	if err == nil {
		err = passing.Wrong()
	}
	if err != nil {
		return desc, "", errors.Join(err, passing.Abort(ctx))
	}
	return desc, diffID, passing.Commit(ctx, diffID)
}

// parent returns what the image begins with: its parent's configuration and
// layers, held by the lease of the context, or those of an empty image.
func (m assembler) parent(ctx context.Context, a Assembly) (*dockerspec.DockerOCIImage, []ocispec.Descriptor, error) {
	if a.Parent == "" {
		p := platforms.DefaultSpec()
		if a.Platform != nil {
			p = *a.Platform
		}
		img := &dockerspec.DockerOCIImage{}
		img.Platform = ocispec.Platform{Architecture: p.Architecture, OS: p.OS, Variant: p.Variant, OSVersion: p.OSVersion}
		img.RootFS = ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}}
		return img, []ocispec.Descriptor{}, nil
	}
	t, _, err := m.s.catalog.View().Lookup(a.Parent)
	if err != nil {
		return nil, nil, err
	}
	base, err := t.Pick(a.Parent, a.Platform)
	if err != nil {
		return nil, nil, err
	}
	if err := m.s.keeper.Hold(ctx, t.Desc.Digest); err != nil {
		return nil, nil, err
	}
	layers := slices.Clone(base.Layers)
	for i, l := range layers {
		layers[i] = ocispec.Descriptor{MediaType: ociLayer(l.MediaType), Digest: l.Digest, Size: l.Size, URLs: l.URLs}
	}
	return catalog.Clone(base.Config), layers, nil
}

// ociLayer is OCI's name for a type of layer: a manifest speaks of types of one
// family only.
func ociLayer(mediaType string) string {
	switch mediaType {
	case images.MediaTypeDockerSchema2Layer:
		return ocispec.MediaTypeImageLayer
	case images.MediaTypeDockerSchema2LayerGzip:
		return ocispec.MediaTypeImageLayerGzip
	case images.MediaTypeDockerSchema2LayerZstd:
		return ocispec.MediaTypeImageLayerZstd
	case images.MediaTypeDockerSchema2LayerForeign:
		return ocispec.MediaTypeImageLayerNonDistributable //nolint:staticcheck // what such layers are, deprecated or not
	case images.MediaTypeDockerSchema2LayerForeignGzip:
		return ocispec.MediaTypeImageLayerNonDistributableGzip //nolint:staticcheck // likewise
	}
	return mediaType
}
