package build

import (
	"context"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The client of an embedded containerd calls its services directly, and those
// want a namespace in the context. BuildKit puts it there for content, snapshots
// and leases; the types below do for the rest.

type differ interface {
	diff.Applier
	diff.Comparer
}

// inNamespace is a differ of one namespace.
type inNamespace struct {
	differ
	namespace string
}

func (d inNamespace) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, opts ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	return d.differ.Apply(namespaces.WithNamespace(ctx, d.namespace), desc, mounts, opts...)
}

func (d inNamespace) Compare(ctx context.Context, lower, upper []mount.Mount, opts ...diff.Opt) (ocispec.Descriptor, error) {
	return d.differ.Compare(namespaces.WithNamespace(ctx, d.namespace), lower, upper, opts...)
}

// imagesInNamespace are the images of one namespace.
type imagesInNamespace struct {
	images.Store
	namespace string
}

func (s imagesInNamespace) Get(ctx context.Context, name string) (images.Image, error) {
	return s.Store.Get(namespaces.WithNamespace(ctx, s.namespace), name)
}

func (s imagesInNamespace) List(ctx context.Context, filters ...string) ([]images.Image, error) {
	return s.Store.List(namespaces.WithNamespace(ctx, s.namespace), filters...)
}

func (s imagesInNamespace) Create(ctx context.Context, image images.Image) (images.Image, error) {
	return s.Store.Create(namespaces.WithNamespace(ctx, s.namespace), image)
}

func (s imagesInNamespace) Update(ctx context.Context, image images.Image, fieldpaths ...string) (images.Image, error) {
	return s.Store.Update(namespaces.WithNamespace(ctx, s.namespace), image, fieldpaths...)
}

func (s imagesInNamespace) Delete(ctx context.Context, name string, opts ...images.DeleteOpt) error {
	return s.Store.Delete(namespaces.WithNamespace(ctx, s.namespace), name, opts...)
}
