package blob

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of a tree, far above what an index of hundreds of manifests has.
const (
	maxTree  = 1 << 16
	maxDepth = 16
)

// Store is what of a content store Tree needs.
type Store interface {
	content.Provider
	content.InfoProvider
}

// Tree lists what belongs to desc and is here, each blob once, and children
// before what refers to them. Of a manifest that lacks a blob only the manifest
// itself is listed: its other blobs would be of no use to anyone. Layers that
// may not be distributed (Windows' base layers) may lack. keep, if not nil,
// leaves children out, with all below them. Errors as of Children; NotFound
// if desc itself is not here.
func Tree(ctx context.Context, store Store, desc ocispec.Descriptor, keep func(ocispec.Descriptor) bool) ([]ocispec.Descriptor, error) {
	t := &tree{store: store, keep: keep, seen: map[string]bool{}}
	if err := t.add(ctx, desc, 0); err != nil {
		return nil, err
	}
	if !t.seen[desc.Digest.String()] {
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("content %s is not here", desc.Digest))
	}
	return t.list, nil
}

type tree struct {
	store Store
	keep  func(ocispec.Descriptor) bool
	seen  map[string]bool // in list
	list  []ocispec.Descriptor
}

func (t *tree) add(ctx context.Context, desc ocispec.Descriptor, depth int) error {
	if depth > maxDepth || len(t.list) >= maxTree {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%s: too many parts", desc.Digest))
	}
	if t.seen[desc.Digest.String()] {
		return nil
	}
	here, err := t.here(ctx, desc)
	if err != nil || !here {
		return err
	}
	children, err := t.children(ctx, desc)
	if err != nil {
		return err
	}
	for _, c := range children {
		if err := t.add(ctx, c, depth+1); err != nil {
			return err
		}
	}
	t.seen[desc.Digest.String()] = true
	t.list = append(t.list, desc)
	return nil
}

// children are those to be listed.
func (t *tree) children(ctx context.Context, desc ocispec.Descriptor) (out []ocispec.Descriptor, err error) {
	children, err := Children(ctx, t.store, desc)
	if err != nil {
		return nil, err
	}
	for _, c := range children {
		if t.keep != nil && !t.keep(c) {
			continue
		}
		if images.IsManifestType(desc.MediaType) && !images.IsNonDistributable(c.MediaType) {
			if here, err := t.here(ctx, c); err != nil || !here {
				return nil, err
			}
		}
		out = append(out, c)
	}
	return out, nil
}

func (t *tree) here(ctx context.Context, desc ocispec.Descriptor) (bool, error) {
	if err := Check(desc); err != nil {
		return false, err
	}
	info, err := t.store.Info(ctx, desc.Digest)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil && info.Size == desc.Size, err
}
