package archive

import (
	"context"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/containerd/containerd/v2/core/images"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// v1Layer is ID/json of docker before 1.10: a layer and, in that of the last
// layer, the image
// (github.com/moby/docker-image-spec, v1.md).
type v1Layer struct {
	ID              string
	Parent          string
	Created         *time.Time
	Author          string
	Comment         string
	Architecture    string
	OS              string
	Config          dockerspec.DockerOCIImageConfig
	ContainerConfig struct{ Cmd []string } `json:"container_config"`
}

// v1Images reads the repositories file, which alone names the images in such
// archives. Manifests and configurations are made here.
func (s *scan) v1Images(ctx context.Context) ([]Image, error) {
	var repositories map[string]map[string]string // name → tag → ID of the last layer
	if err := json.Unmarshal(s.repositories, &repositories); err != nil {
		return nil, invalid("invalid archive: repositories: %v", err)
	}
	var out []Image
	made := map[string]ocispec.Descriptor{}
	for _, repo := range slices.Sorted(maps.Keys(repositories)) {
		for _, tag := range slices.Sorted(maps.Keys(repositories[repo])) {
			name, err := canonical(repo + ":" + tag)
			if err != nil {
				return nil, err
			}
			id := repositories[repo][tag]
			if _, ok := made[id]; !ok {
				if made[id], err = s.v1Image(ctx, id); err != nil {
					return nil, err
				}
			}
			if out = append(out, Image{Name: name, Target: made[id]}); len(out) > maxImages {
				return nil, invalid("invalid archive: repositories lists more than %d images", maxImages)
			}
		}
	}
	if len(out) == 0 {
		return nil, invalid("unrecognized image format")
	}
	return out, nil
}

// v1Image makes the image that ends with a layer.
func (s *scan) v1Image(ctx context.Context, id string) (ocispec.Descriptor, error) {
	chain, err := s.v1Chain(ctx, id)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	last := chain[len(chain)-1]
	img := dockerspec.DockerOCIImage{Config: last.Config}
	img.Created, img.Author = last.Created, last.Author
	img.Platform = ocispec.Platform{Architecture: last.Architecture, OS: last.OS}
	img.RootFS.Type = "layers"
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: images.MediaTypeDockerSchema2Manifest}
	for _, l := range chain {
		layer, err := s.file(path.Join(l.ID, "layer.tar"))
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		if layer.MediaType, err = s.layerType(ctx, layer); err != nil {
			return ocispec.Descriptor{}, err
		}
		if layer.MediaType != images.MediaTypeDockerSchema2Layer {
			return ocispec.Descriptor{}, invalid("invalid archive: layer %s of an old archive is compressed", l.ID)
		}
		m.Layers = append(m.Layers, layer)
		img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, layer.Digest) // of a plain tar they are the same
		img.History = append(img.History, ocispec.History{
			Created: l.Created, Author: l.Author, Comment: l.Comment, CreatedBy: strings.Join(l.ContainerConfig.Cmd, " "),
		})
	}
	if m.Config, err = blob.WriteJSON(ctx, s.store, images.MediaTypeDockerSchema2Config, img); err != nil {
		return ocispec.Descriptor{}, err
	}
	return blob.WriteJSON(ctx, s.store, m.MediaType, m)
}

// v1Chain returns the layers up to id, the lowest first.
func (s *scan) v1Chain(ctx context.Context, id string) ([]v1Layer, error) {
	var chain []v1Layer
	for id != "" {
		if digest.NewDigestFromEncoded(digest.SHA256, id).Validate() != nil {
			return nil, invalid("invalid archive: %q is not the ID of a layer", id)
		}
		if len(chain) >= maxLayers {
			return nil, invalid("invalid archive: an image has more than %d layers, or goes in circles", maxLayers)
		}
		desc, err := s.file(path.Join(id, "json"))
		if err != nil {
			return nil, err
		}
		var l v1Layer
		if err := blob.JSON(ctx, s.store, desc, blob.MaxConfig, &l); err != nil {
			return nil, invalid("invalid archive: layer %s: %v", id, err)
		}
		l.ID, id = id, l.Parent
		chain = append(chain, l)
	}
	if len(chain) == 0 {
		return nil, invalid("invalid archive: an image without layers")
	}
	slices.Reverse(chain)
	return chain, nil
}
