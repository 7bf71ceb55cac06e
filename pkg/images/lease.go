package images

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// keeper protects what is being written from collection, and has collected
// what nothing refers to any more.
type keeper struct {
	client  *client.Client
	log     *slog.Logger
	garbage chan struct{} // capacity 1: a collection is wanted
}

func newKeeper(c *client.Client, log *slog.Logger) *keeper {
	return &keeper{client: c, log: log, garbage: make(chan struct{}, 1)}
}

// leaseLabel marks our leases, so that those of a dead process are found.
const leaseLabel = "berth.images"

// teardown bounds what is undone after a request ended.
const teardown = 10 * time.Second

// lease protects all that is written with the returned context from
// collection until done is called. done(false) collects at once, so that
// a failed operation leaves nothing; done(true) leaves that for later.
func (k *keeper) lease(ctx context.Context) (_ context.Context, done func(ok bool), _ error) {
	manager := k.client.LeasesService()
	l, err := manager.Create(ctx, leases.WithRandomID(), leases.WithExpiration(24*time.Hour), leases.WithLabel(leaseLabel, "1"))
	if err != nil {
		return nil, nil, fmt.Errorf("lease: %w", err)
	}
	return leases.WithLease(ctx, l.ID), func(ok bool) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardown)
		defer cancel()
		var opts []leases.DeleteOpt
		if !ok {
			opts = append(opts, leases.SynchronousDelete)
		}
		if err := manager.Delete(ctx, l, opts...); err != nil && !errdefs.IsNotFound(err) {
			k.log.Warn("images: lease is left to expire", "lease", l.ID, "error", err)
		}
	}, nil
}

// dropLeases ends the leases of a process that died, and with them whatever it
// was loading or pulling.
func (k *keeper) dropLeases(ctx context.Context) error {
	manager := k.client.LeasesService()
	old, err := manager.List(ctx, "labels."+`"`+leaseLabel+`"`)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	for _, l := range old {
		if err := manager.Delete(ctx, l); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("delete lease %s: %w", l.ID, err)
		}
	}
	if len(old) > 0 {
		k.collect()
	}
	return nil
}

// collect asks for what is no longer referenced to be collected, after the
// answer to the client.
func (k *keeper) collect() {
	select {
	case k.garbage <- struct{}{}:
	default: // one is wanted already
	}
}

// collector runs the collections that were asked for. containerd's scheduler
// does not act on deletions by itself (its deletion_threshold is 0); ending a
// lease synchronously makes it.
func (k *keeper) collector(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.garbage:
			if err := k.collectNow(ctx); err != nil && ctx.Err() == nil {
				k.log.Warn("images: collect garbage", "error", err)
			}
		}
	}
}

func (k *keeper) collectNow(ctx context.Context) error {
	manager := k.client.LeasesService()
	l, err := manager.Create(ctx, leases.WithRandomID(), leases.WithExpiration(time.Minute), leases.WithLabel(leaseLabel, "1"))
	if err != nil {
		return err
	}
	return manager.Delete(ctx, l, leases.SynchronousDelete)
}

// hold protects an image that is there, with all that it refers to, by the
// lease of the context.
func (k *keeper) hold(ctx context.Context, id digest.Digest) error {
	lease, _ := leases.FromContext(ctx)
	err := k.client.LeasesService().AddResource(ctx, leases.Lease{ID: lease}, leases.Resource{ID: id.String(), Type: "content"})
	if err != nil {
		return fmt.Errorf("hold image %s: %w", id, err)
	}
	return nil
}
