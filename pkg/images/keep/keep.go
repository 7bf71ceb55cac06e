// Package keep holds what is being written or read by leases, and has containerd
// collect what nothing refers to any more. A lease ends with its operation, or with
// the process that died; only what an interrupted pull has fetched is kept, for the
// next pull of the same image.
package keep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/berth-engine/berth/pkg/images/remote"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// Keeper protects what is being written from collection, and has collected
// what nothing refers to any more.
type Keeper struct {
	client  *client.Client
	log     *slog.Logger
	garbage chan struct{} // capacity 1: a collection is wanted

	mu    sync.Mutex      // guards pulls
	pulls map[string]bool // leases of pulls under way
}

// New makes one; Collector must run for Collect to have an effect.
func New(c *client.Client, log *slog.Logger) *Keeper {
	return &Keeper{client: c, log: log, garbage: make(chan struct{}, 1), pulls: map[string]bool{}}
}

// leaseLabel marks our leases, so that those of a dead process are found, and
// pullLabel those of pulls, with the reference.
const (
	leaseLabel = "berth.images"
	pullLabel  = "berth.images.pull"
)

// keepPull is how long what an interrupted pull has fetched waits for another one.
const keepPull = 24 * time.Hour

// Lease protects all that is written with the returned context from
// collection until done is called. done(false) collects at once, so that
// a failed operation leaves nothing; done(true) leaves that for later.
func (k *Keeper) Lease(ctx context.Context) (_ context.Context, done func(ok bool), _ error) {
	l, err := k.client.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(24*time.Hour), leases.WithLabel(leaseLabel, "1"))
	if err != nil {
		return nil, nil, fmt.Errorf("lease: %w", err)
	}
	return leases.WithLease(ctx, l.ID), func(ok bool) { k.end(ctx, l, !ok) }, nil
}

// end ends a lease, whatever became of the request.
func (k *Keeper) end(ctx context.Context, l leases.Lease, collect bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ending)
	defer cancel()
	var opts []leases.DeleteOpt
	if collect {
		opts = append(opts, leases.SynchronousDelete)
	}
	if err := k.client.LeasesService().Delete(ctx, l, opts...); err != nil && !errdefs.IsNotFound(err) {
		k.log.Warn("images: lease is left to expire", "lease", l.ID, "error", err)
	}
}

// Resumable is a lease for a pull of ref. After an error that another attempt may
// not meet, what was fetched stays for keepPull; so it does when the process dies.
func (k *Keeper) Resumable(ctx context.Context, ref string) (_ context.Context, done func(error), _ error) {
	l, err := k.client.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(keepPull), leases.WithLabels(map[string]string{leaseLabel: "1", pullLabel: ref}))
	if err != nil {
		return nil, nil, fmt.Errorf("lease: %w", err)
	}
	k.mark(l.ID, true)
	return leases.WithLease(ctx, l.ID), func(err error) {
		k.mark(l.ID, false)
		switch {
		case err == nil:
			k.end(ctx, l, false)
			tctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ending)
			defer cancel()
			if _, err := k.DropPulls(tctx, ref); err != nil {
				k.log.Warn("images: what an earlier pull left waits for its end", "reference", ref, "error", err)
			}
		case !errors.Is(err, context.Canceled) && !remote.Transient(err):
			k.end(ctx, l, true)
		}
	}, nil
}

func (k *Keeper) mark(lease string, active bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if active {
		k.pulls[lease] = true
	} else {
		delete(k.pulls, lease)
	}
}

// DropPulls gives up what is kept of interrupted pulls, of ref or, if that is "",
// of all, and says what that was.
func (k *Keeper) DropPulls(ctx context.Context, ref string) (held []leases.Resource, err error) {
	filter := "labels." + `"` + pullLabel + `"`
	if ref != "" {
		filter += "==" + strconv.Quote(ref)
	}
	manager := k.client.LeasesService()
	kept, err := manager.List(ctx, filter)
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	for _, l := range kept {
		k.mu.Lock()
		active := k.pulls[l.ID]
		k.mu.Unlock()
		if active {
			continue
		}
		resources, err := manager.ListResources(ctx, l)
		if err == nil {
			err = manager.Delete(ctx, l)
		}
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, fmt.Errorf("delete lease %s: %w", l.ID, err)
		}
		held = append(held, resources...)
	}
	return held, nil
}

// DropLeases ends the leases of a process that died, and with them whatever it
// was loading. What it was pulling is kept for another pull, except for
// snapshots that were being filled: those cannot be gone on with.
func (k *Keeper) DropLeases(ctx context.Context) error {
	manager := k.client.LeasesService()
	old, err := manager.List(ctx, "labels."+`"`+leaseLabel+`"`)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	for _, l := range old {
		if _, pull := l.Labels[pullLabel]; pull {
			err = k.dropUnfinished(ctx, l)
		} else {
			err = manager.Delete(ctx, l)
		}
		if err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("lease %s: %w", l.ID, err)
		}
	}
	if len(old) > 0 {
		k.Collect()
	}
	return nil
}

func (k *Keeper) dropUnfinished(ctx context.Context, l leases.Lease) error {
	manager := k.client.LeasesService()
	held, err := manager.ListResources(ctx, l)
	if err != nil {
		return err
	}
	for _, r := range held {
		if strings.HasPrefix(r.Type, "snapshots/") && strings.HasPrefix(r.ID, snapshots.UnpackKeyPrefix) {
			if err := manager.DeleteResource(ctx, l, r); err != nil && !errdefs.IsNotFound(err) {
				return err
			}
		}
	}
	return nil
}

// Collect asks for what is no longer referenced to be collected, after the
// answer to the client.
func (k *Keeper) Collect() {
	select {
	case k.garbage <- struct{}{}:
	default: // one is wanted already
	}
}

// Collector runs the collections that were asked for, and one after the time that
// interrupted pulls are kept. containerd's scheduler
// does not act on deletions by itself (its deletion_threshold is 0); ending a
// lease synchronously makes it.
func (k *Keeper) Collector(ctx context.Context) {
	expired := time.NewTicker(keepPull)
	defer expired.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-expired.C:
		case <-k.garbage:
		}
		if err := k.CollectNow(ctx); err != nil && ctx.Err() == nil {
			k.log.Warn("images: collect garbage", "error", err)
		}
	}
}

// CollectNow returns when what nothing refers to is gone.
func (k *Keeper) CollectNow(ctx context.Context) error {
	manager := k.client.LeasesService()
	l, err := manager.Create(ctx, leases.WithRandomID(), leases.WithExpiration(time.Minute), leases.WithLabel(leaseLabel, "1"))
	if err != nil {
		return err
	}
	return manager.Delete(ctx, l, leases.SynchronousDelete)
}

// Hold protects an image that is there, with all that it refers to, by the
// lease of the context.
func (k *Keeper) Hold(ctx context.Context, id digest.Digest) error {
	lease, _ := leases.FromContext(ctx)
	err := k.client.LeasesService().AddResource(ctx, leases.Lease{ID: lease}, leases.Resource{ID: id.String(), Type: "content"})
	if err != nil {
		return fmt.Errorf("hold image %s: %w", id, err)
	}
	return nil
}

// ending bounds what is undone after a request ended.
const ending = 10 * time.Second
