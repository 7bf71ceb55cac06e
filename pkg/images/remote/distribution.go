package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Distribution tells what ref stands for in its registry, without pulling it.
// Errors as of a pull; InvalidArgument for what is no name.
func (r *Registries) Distribution(ctx context.Context, ref string, auth *registry.AuthConfig) (registry.DistributionInspect, error) {
	out := registry.DistributionInspect{Platforms: []ocispec.Platform{}}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return out, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	if _, digested := named.(reference.Digested); !digested {
		named = reference.TagNameOnly(named)
	}
	hosts, err := r.Hosts(ctx, named, auth)
	if err != nil {
		return out, err
	}
	desc, fetcher, err := Resolve(ctx, hosts, named)
	if err != nil {
		return out, PullError(err, named)
	}
	out.Descriptor = ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	if out.Platforms, err = platformsOf(ctx, fetcher, desc); err != nil {
		return out, PullError(err, named)
	}
	return out, nil
}

// platformsOf lists the platforms of an index, or the one of a manifest.
func platformsOf(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor) ([]ocispec.Platform, error) {
	out := []ocispec.Platform{}
	switch {
	case images.IsIndexType(desc.MediaType):
		var index ocispec.Index
		if err := document(ctx, fetcher, desc, blob.MaxManifest, &index); err != nil {
			return nil, err
		}
		for _, m := range index.Manifests {
			if m.Platform != nil {
				out = append(out, *m.Platform)
			}
		}
	case images.IsManifestType(desc.MediaType):
		var m ocispec.Manifest
		if err := document(ctx, fetcher, desc, blob.MaxManifest, &m); err != nil {
			return nil, err
		}
		if !images.IsConfigType(m.Config.MediaType) {
			break // an artifact
		}
		var p ocispec.Platform
		if err := document(ctx, fetcher, m.Config, blob.MaxConfig, &p); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// document fetches one, and verifies it.
func document(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor, limit int64, v any) error {
	if err := blob.Check(desc); err != nil {
		return err
	}
	if desc.Size > limit {
		return invalid("%s is %d bytes long, the limit is %d", desc.Digest, desc.Size, limit)
	}
	rc, err := fetcher.Fetch(ctx, ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size})
	if err != nil {
		return err
	}
	defer rc.Close()
	p, err := io.ReadAll(io.LimitReader(rc, desc.Size+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", desc.Digest, err)
	}
	if desc.Digest.Algorithm().FromBytes(p) != desc.Digest {
		return invalid("%s has other content than announced", desc.Digest)
	}
	if err := json.Unmarshal(p, v); err != nil {
		return invalid("%s: %v", desc.Digest, err)
	}
	return nil
}
