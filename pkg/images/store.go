// Package images keeps the images: it resolves, lists, loads, pulls, tags and
// removes them on containerd's content store, image store and snapshotter.
//
// Images are known by containerd's own records, under full canonical names
// (docker.io/library/busybox:latest), so that ctr and nerdctl see what we see.
// The ID of an image is the digest of the record's target, an index or a
// manifest, as in Docker 29. An image that lost its last name is kept under
// "moby-dangling@DIGEST", the name that Docker gives it.
//
// Questions are answered from memory by package catalog. Blobs come from strangers: sizes are bounded and digests verified
// before anything is believed. Whatever is being loaded or pulled is held by a
// lease, so an operation that dies leaves nothing that the next collection
// does not take, but what an interrupted pull has fetched: the next one goes on
// with that.
package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/berth-engine/berth/pkg/images/keep"
	"github.com/berth-engine/berth/pkg/images/layers"
	"github.com/berth-engine/berth/pkg/images/remote"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/moby/moby/api/types/events"
)

// Config is what a Store is made of. Client, Namespace and Snapshotter are
// required.
type Config struct {
	Client      *client.Client
	Namespace   string             // containerd namespace of the images
	Snapshotter string             // containerd snapshotter that layers are unpacked for
	Registries  *remote.Registries // nil: with a configuration that says nothing
	Transfers   *Bounds            // nil: dockerd's defaults
	Disk        Disk

	// Events receives Docker's image events, one call at a time for each
	// change, after the change. Nil drops them. It must not block.
	Events func(events.Message)
	// InUse names the containers of an image (IDs). It is asked for lists,
	// too, so it must answer from memory. Nil: no image is ever in use.
	InUse  func(imageID string) (running, stopped []string)
	Logger *slog.Logger // nil is slog.Default
}

// Transfers bounds what goes to and comes from registries; zeros are dockerd's
// defaults.
type Transfers struct {
	Downloads, Uploads int           // at the same time in one operation; 3 and 5
	Attempts           int           // to fetch or send one blob; 5
	RetryDelay         time.Duration // before the second attempt, growing by as much with each; 5 s
}

func (t Transfers) withDefaults() Transfers {
	return Transfers{
		Downloads: cmp.Or(t.Downloads, 3), Uploads: cmp.Or(t.Uploads, 5),
		Attempts: cmp.Or(t.Attempts, 5), RetryDelay: cmp.Or(t.RetryDelay, 5*time.Second),
	}
}

// Bounds are Transfers that may be changed.
type Bounds struct{ now atomic.Pointer[Transfers] }

// Set changes the bounds for operations that begin from now on.
func (b *Bounds) Set(t Transfers) {
	t = t.withDefaults()
	b.now.Store(&t)
}

func (b *Bounds) get() Transfers {
	if t := b.now.Load(); t != nil {
		return *t
	}
	return Transfers{}.withDefaults()
}

// Store is the images of one containerd namespace. Its methods may be called
// concurrently.
type Store struct {
	cfg    Config
	client *client.Client
	log    *slog.Logger

	catalog *catalog.Catalog
	names   *namer
	layers  *layers.Unpacker
	keeper  *keep.Keeper
	uses    uses

	pruning sync.Mutex // held by the one Prune that is under way

	stop    context.CancelFunc
	workers sync.WaitGroup
}

// Open reads the images that are there and starts to follow changes. It ends
// leases that a predecessor left behind, so a namespace may have one Store that
// loads or pulls at a time. Close must be called.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Client == nil || cfg.Namespace == "" || cfg.Snapshotter == "" {
		return nil, errors.New("images: client, namespace and snapshotter are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Transfers == nil {
		cfg.Transfers = &Bounds{}
	}
	if cfg.Registries == nil {
		cfg.Registries = remote.New(remote.Config{})
	}
	run, stop := context.WithCancel(namespaces.WithNamespace(context.WithoutCancel(ctx), cfg.Namespace))
	s := &Store{
		cfg: cfg, client: cfg.Client, log: cfg.Logger,
		catalog: catalog.New(catalog.Config{Client: cfg.Client, Namespace: cfg.Namespace, Snapshotter: cfg.Snapshotter, InUse: cfg.InUse, Logger: cfg.Logger}),
		names:   newNamer(cfg.Client), keeper: keep.New(cfg.Client, cfg.Logger),
		stop: stop,
	}
	if err := s.start(s.context(ctx), run); err != nil {
		s.Close()
		return nil, fmt.Errorf("images: %w", err)
	}
	return s, nil
}

func (s *Store) start(ctx, run context.Context) (err error) {
	if s.layers, err = layers.New(ctx, s.client, s.cfg.Snapshotter, !s.cfg.Disk.Discard); err != nil {
		return err
	}
	if err := s.keeper.DropLeases(ctx); err != nil {
		return err
	}
	s.workers.Go(func() { s.keeper.Collector(run) })
	if s.cfg.Disk.Policy.High > 0 {
		w := &watermark{s: s, used: statfs(s.cfg.Disk.Root)}
		s.workers.Go(func() { w.watch(run) })
	}
	first := make(chan error, 1)
	s.workers.Go(func() { s.catalog.Run(run, first) })
	select {
	case err := <-first:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Catalog answers what is only asked.
func (s *Store) Catalog() *catalog.Catalog { return s.catalog }

// Close ends the work in the background and waits for it. Operations under way
// fail.
func (s *Store) Close() error {
	s.stop()
	s.workers.Wait()
	return nil
}

// context puts the namespace into a request's context.
func (s *Store) context(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, s.cfg.Namespace)
}
