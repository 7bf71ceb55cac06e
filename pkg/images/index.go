package images

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// view is all images at one instant. Views and what they point at never
// change; a change makes a new view.
type view struct {
	names   map[string]digest.Digest // containerd name → target
	targets map[digest.Digest]*target
	sorted  []*target // newest first, as lists show them
}

// target is what one or more names point at: a manifest, or an index of them.
type target struct {
	desc      ocispec.Descriptor
	names     []images.Image // sorted by name; at least one
	manifests []*manifest    // in the order of the index; one if the target is a manifest
	own       int64          // bytes of the index's own JSON, 0 if the target is a manifest

	// Computed by finish, since lists are asked for more often than images
	// change.
	preferred     *manifest // what the host runs, nil if nothing
	created       time.Time // of preferred, as its configuration says; zero if it does not
	size          int64     // bytes on disk
	tags, digests []string  // RepoTags and RepoDigests, never nil
}

// manifest is one member of a target with what is here of it.
type manifest struct {
	desc      ocispec.Descriptor
	kind      image.ManifestKind
	attests   digest.Digest // the manifest that an attestation is about
	platform  ocispec.Platform
	configID  digest.Digest
	config    *dockerspec.DockerOCIImage // nil if it is not here
	layers    []ocispec.Descriptor
	chain     []digest.Digest // chain ID after each layer
	unpacked  []int64         // bytes of each snapshot of the chain that exists, from the bottom
	content   int64           // bytes of the blobs that are here, the manifest included
	available bool            // manifest, config and all layers are here
}

// ready says whether a container can be made on the manifest at once.
func (m *manifest) ready() bool { return len(m.unpacked) == len(m.chain) }

// chainID is the snapshot that containers stand on; "" without layers.
func (m *manifest) chainID() digest.Digest {
	if len(m.chain) == 0 {
		return ""
	}
	return m.chain[len(m.chain)-1]
}

func (m *manifest) snapshots() (n int64) {
	for _, size := range m.unpacked {
		n += size
	}
	return n
}

// index keeps the current view. Readers load it without waiting; one
// goroutine, own, replaces it.
type index struct {
	client      *client.Client
	namespace   string
	snapshotter string
	log         *slog.Logger

	current  atomic.Pointer[view]
	requests chan request
	closed   chan struct{} // closed when own has ended
}

// request asks the owner to read records again.
type request struct {
	names  []string // nil: all of them
	chain  string   // instead of names: this snapshot has gone
	reread bool     // read the content again even if the record is the same
	done   chan error
}

func newIndex(cfg Config) *index {
	x := &index{
		client: cfg.Client, namespace: cfg.Namespace, snapshotter: cfg.Snapshotter, log: cfg.Logger,
		requests: make(chan request), closed: make(chan struct{}),
	}
	x.current.Store(&view{})
	return x
}

func (x *index) view() *view { return x.current.Load() }

// refresh returns when the view holds what containerd said about the names
// after the call was made.
func (x *index) refresh(ctx context.Context, r request) error {
	r.done = make(chan error, 1)
	select {
	case x.requests <- r:
	case <-x.closed:
		return errdefs.ErrUnavailable.WithMessage("the image store is closed")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-x.closed:
		return errdefs.ErrUnavailable.WithMessage("the image store is closed")
	}
}

// own serves requests, one after the other, until ctx ends.
func (x *index) own(ctx context.Context) {
	defer close(x.closed)
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-x.requests:
			next, err := x.nextView(ctx, x.view(), r)
			if err == nil {
				x.current.Store(next)
			}
			r.done <- err
		}
	}
}

// nextView reads what r asks for and returns the view after it.
func (x *index) nextView(ctx context.Context, old *view, r request) (*view, error) {
	records, reread, err := x.records(ctx, old, r)
	if err != nil {
		return nil, err
	}
	inv := newInventory(x.client, x.snapshotter)
	if r.names == nil && r.chain == "" {
		if err := inv.preload(ctx); err != nil {
			return nil, err
		}
	}
	return x.build(ctx, inv, old, records, reread)
}

// records returns all records by name, those that r names read anew, and the
// targets whose content must be read again.
func (x *index) records(ctx context.Context, old *view, r request) (map[string]images.Image, map[digest.Digest]bool, error) {
	records, reread := map[string]images.Image{}, map[digest.Digest]bool{}
	service := x.client.ImageService()
	if r.names == nil && r.chain == "" {
		all, err := service.List(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("list images: %w", err)
		}
		for _, img := range all {
			records[img.Name] = img
			reread[img.Target.Digest] = r.reread
		}
		return records, reread, nil
	}
	for _, t := range old.targets {
		for _, img := range t.names {
			records[img.Name] = img
		}
		reread[t.desc.Digest] = r.chain != "" && t.standsOn(digest.Digest(r.chain))
	}
	for _, name := range r.names {
		img, err := service.Get(ctx, name)
		switch {
		case errdefs.IsNotFound(err):
			delete(records, name)
		case err != nil:
			return nil, nil, fmt.Errorf("image %s: %w", name, err)
		default:
			was, known := records[name]
			reread[img.Target.Digest] = reread[img.Target.Digest] || r.reread || known && !was.UpdatedAt.Equal(img.UpdatedAt)
			records[name] = img
		}
	}
	return records, reread, nil
}

// build groups records by target and describes the targets that are new or
// must be read again.
func (x *index) build(ctx context.Context, inv *inventory, old *view, records map[string]images.Image, reread map[digest.Digest]bool) (*view, error) {
	next := &view{names: make(map[string]digest.Digest, len(records)), targets: make(map[digest.Digest]*target, len(records))}
	for name, img := range records {
		if img.Target.Digest.Validate() != nil {
			x.log.Warn("images: image has no valid target", "name", name)
			continue
		}
		next.names[name] = img.Target.Digest
		t := next.targets[img.Target.Digest]
		if t == nil {
			t = &target{desc: bare(img.Target)}
			next.targets[img.Target.Digest] = t
		}
		t.names = append(t.names, img)
	}
	var fresh []*target
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for id, t := range next.targets {
		slices.SortFunc(t.names, func(a, b images.Image) int { return cmp.Compare(a.Name, b.Name) })
		was := old.targets[id]
		if was != nil && !reread[id] {
			if slices.EqualFunc(t.names, was.names, sameRecord) {
				next.targets[id] = was
				continue
			}
			t.manifests, t.own = was.manifests, was.own
		} else {
			group.Go(func() error { return inv.describe(ctx, t) })
		}
		fresh = append(fresh, t)
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, t := range fresh {
		t.finish()
	}
	next.sort()
	return next, nil
}

func sameRecord(a, b images.Image) bool { return a.Name == b.Name && a.UpdatedAt.Equal(b.UpdatedAt) }

// finish computes what follows from the rest.
func (t *target) finish() {
	t.preferred = t.best(nil)
	if m := t.preferred; m != nil && m.config.Created != nil {
		t.created = *m.config.Created
	}
	t.size = t.own
	for _, m := range t.manifests {
		t.size += m.content + m.snapshots()
	}
	t.tags, t.digests = t.tagsAndDigests()
}

func (v *view) sort() {
	v.sorted = slices.Collect(maps.Values(v.targets))
	slices.SortFunc(v.sorted, func(a, b *target) int {
		return cmp.Or(b.created.Compare(a.created), cmp.Compare(a.desc.Digest, b.desc.Digest))
	})
}

// standsOn says whether a snapshot is part of the target.
func (t *target) standsOn(chain digest.Digest) bool {
	return slices.ContainsFunc(t.manifests, func(m *manifest) bool { return slices.Contains(m.chain, chain) })
}

// bare keeps of a descriptor what identifies the blob. Annotations and
// embedded data came with the image and must not reach records or snapshots.
func bare(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Platform: d.Platform, ArtifactType: d.ArtifactType}
}
