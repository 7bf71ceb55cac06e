// Package catalog knows the images of one containerd namespace: their names, what
// is here of each, and how they are found. It answers lists, inspections and lookups
// from memory, in a view that never changes; a goroutine makes the next view when
// records change, by our own hand (Refresh) or by other containerd clients (events).
//
// What images say of themselves was written by strangers. An image whose content is
// broken or missing keeps its name and ID, so that it can be seen and removed.
package catalog

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Catalog keeps the current view. Readers load it without waiting; one
// goroutine, own, replaces it.
type Catalog struct {
	client      *client.Client
	namespace   string
	snapshotter string
	inUse       func(imageID string) (running, stopped []string)
	log         *slog.Logger

	current  atomic.Pointer[View]
	requests chan Request
	closed   chan struct{} // closed when own has ended
}

// Request says what is to be read again.
type Request struct {
	Names  []string // nil: all of them
	chain  string   // instead of names: this snapshot has gone
	Reread bool     // read the content again even if the record is the same
	done   chan error
}

// Config is what a Catalog is made of; all but InUse is required.
type Config struct {
	Client      *client.Client
	Namespace   string // containerd namespace of the images
	Snapshotter string // containerd snapshotter whose snapshots count
	// InUse names the containers of an image (IDs) from memory; nil: none has any.
	InUse  func(imageID string) (running, stopped []string)
	Logger *slog.Logger
}

// New makes an empty one; Run fills it.
func New(cfg Config) *Catalog {
	x := &Catalog{
		client: cfg.Client, namespace: cfg.Namespace, snapshotter: cfg.Snapshotter, inUse: cfg.InUse, log: cfg.Logger,
		requests: make(chan Request), closed: make(chan struct{}),
	}
	x.current.Store(&View{})
	return x
}

// Users asks for the containers of an image.
func (x *Catalog) Users(id string) (running, stopped []string) {
	if x.inUse == nil {
		return nil, nil
	}
	return x.inUse(id)
}

// View is the images as they are now.
func (x *Catalog) View() *View { return x.current.Load() }

// Run reads what is there, tells ready how that went, and follows changes until
// ctx ends.
func (x *Catalog) Run(ctx context.Context, ready chan<- error) {
	var owner sync.WaitGroup
	owner.Go(func() { x.own(ctx) })
	x.follow(ctx, ready)
	owner.Wait()
}

// Describe tells what is here of a target that need not have a name yet.
func (x *Catalog) Describe(ctx context.Context, desc ocispec.Descriptor) (*Target, error) {
	t := &Target{Desc: desc}
	return t, newInventory(x.client, x.snapshotter).describe(ctx, t)
}

// Refresh returns when the view holds what containerd said about the names
// after the call was made.
func (x *Catalog) Refresh(ctx context.Context, r Request) error {
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
func (x *Catalog) own(ctx context.Context) {
	defer close(x.closed)
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-x.requests:
			next, err := x.nextView(ctx, x.View(), r)
			if err == nil {
				x.current.Store(next)
			}
			r.done <- err
		}
	}
}

// nextView reads what r asks for and returns the view after it.
func (x *Catalog) nextView(ctx context.Context, old *View, r Request) (*View, error) {
	records, reread, err := x.records(ctx, old, r)
	if err != nil {
		return nil, err
	}
	inv := newInventory(x.client, x.snapshotter)
	if r.Names == nil && r.chain == "" {
		if err := inv.preload(ctx); err != nil {
			return nil, err
		}
	}
	return x.build(ctx, inv, old, records, reread)
}

// records returns all records by name, those that r names read anew, and the
// targets whose content must be read again.
func (x *Catalog) records(ctx context.Context, old *View, r Request) (map[string]images.Image, map[digest.Digest]bool, error) {
	records, reread := map[string]images.Image{}, map[digest.Digest]bool{}
	service := x.client.ImageService()
	if r.Names == nil && r.chain == "" {
		all, err := service.List(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("list images: %w", err)
		}
		for _, img := range all {
			records[img.Name] = img
			reread[img.Target.Digest] = r.Reread
		}
		return records, reread, nil
	}
	for _, t := range old.Targets {
		for _, img := range t.Names {
			records[img.Name] = img
		}
		reread[t.Desc.Digest] = r.chain != "" && t.standsOn(digest.Digest(r.chain))
	}
	for _, name := range r.Names {
		img, err := service.Get(ctx, name)
		switch {
		case errdefs.IsNotFound(err):
			delete(records, name)
		case err != nil:
			return nil, nil, fmt.Errorf("image %s: %w", name, err)
		default:
			was, known := records[name]
			reread[img.Target.Digest] = reread[img.Target.Digest] || r.Reread || known && !was.UpdatedAt.Equal(img.UpdatedAt)
			records[name] = img
		}
	}
	return records, reread, nil
}

// build groups records by target and describes the targets that are new or
// must be read again.
func (x *Catalog) build(ctx context.Context, inv *inventory, old *View, records map[string]images.Image, reread map[digest.Digest]bool) (*View, error) {
	targets := make(map[digest.Digest]*Target, len(records))
	for name, img := range records {
		if img.Target.Digest.Validate() != nil {
			x.log.Warn("images: image has no valid target", "name", name)
			continue
		}
		t := targets[img.Target.Digest]
		if t == nil {
			t = &Target{Desc: Bare(img.Target)}
			targets[img.Target.Digest] = t
		}
		t.Names = append(t.Names, img)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for id, t := range targets {
		slices.SortFunc(t.Names, func(a, b images.Image) int { return cmp.Compare(a.Name, b.Name) })
		was := old.Targets[id]
		if was != nil && !reread[id] {
			if slices.EqualFunc(t.Names, was.Names, sameRecord) {
				targets[id] = was
				continue
			}
			t.Manifests, t.own = was.Manifests, was.own
		} else {
			group.Go(func() error { return inv.describe(ctx, t) })
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return NewView(slices.Collect(maps.Values(targets))...), nil
}

func sameRecord(a, b images.Image) bool { return a.Name == b.Name && a.UpdatedAt.Equal(b.UpdatedAt) }

// Bare keeps of a descriptor what identifies the blob. Annotations and
// embedded data came with the image and must not reach records or snapshots.
func Bare(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Platform: d.Platform, ArtifactType: d.ArtifactType}
}
