package images

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
)

// Prune removes images that no container uses: those without a name, or with
// the filter dangling=false those with names as well. Filters: dangling, label,
// label!, until. It answers when the space is free, and counts the bytes of
// blobs and snapshots that are gone. InvalidArgument for another filter,
// Conflict while another prune is under way.
func (s *Store) Prune(ctx context.Context, a filters.Args) (image.PruneReport, error) {
	var report image.PruneReport // none is null, as in Docker
	doomed, err := prunable(s.catalog.View(), a)
	if err != nil {
		return report, err
	}
	if !s.pruning.TryLock() {
		return report, errdefs.ErrConflict.WithMessage("a prune operation is already running")
	}
	defer s.pruning.Unlock()
	ctx = s.context(ctx)
	p := &prune{s: s, blobs: map[digest.Digest]int64{}, snapshots: map[digest.Digest]int64{}, ingests: map[string]int64{}}
	if err := p.interrupted(ctx); err != nil {
		return report, err
	}
	for _, t := range doomed {
		if ctx.Err() != nil {
			break // the client is gone; what was removed stays removed
		}
		if err := p.gather(ctx, t); err != nil {
			return report, err
		}
		removed, err := p.remove(ctx, t)
		report.ImagesDeleted = append(report.ImagesDeleted, removed...)
		if err != nil {
			return report, err
		}
	}
	if len(report.ImagesDeleted)+len(p.blobs)+len(p.ingests) > 0 {
		if report.SpaceReclaimed, err = p.reclaim(ctx); err != nil {
			return report, err
		}
	}
	p.publish(report.SpaceReclaimed)
	return report, nil
}

// prunable are the targets that the filters select.
func prunable(v *catalog.View, a filters.Args) ([]*catalog.Target, error) {
	if err := a.Validate("dangling", "label", "label!", "until"); err != nil {
		return nil, err
	}
	danglingOnly, err := a.Bool("dangling", true)
	if err != nil {
		return nil, err
	}
	rest := filters.Args{}
	for k, values := range a {
		if k != "dangling" {
			rest[k] = values
		}
	}
	keep, err := v.Filter(rest)
	if err != nil {
		return nil, err
	}
	var out []*catalog.Target
	for _, t := range v.Sorted {
		if keep(t) && (!danglingOnly || t.Dangling()) {
			out = append(out, t)
		}
	}
	return out, nil
}

// prune is one Prune: blobs and snapshots are what the images that it removes
// have on disk, with bytes.
type prune struct {
	s                *Store
	blobs, snapshots map[digest.Digest]int64
	ingests          map[string]int64 // what is here of blobs of interrupted pulls, by containerd's reference
}

// interrupted adds what is kept of interrupted pulls and gives it up.
func (p *prune) interrupted(ctx context.Context) error {
	store := p.s.client.ContentStore()
	held, err := p.s.keeper.DropPulls(ctx, "")
	if err != nil {
		return err
	}
	for _, r := range held {
		switch r.Type {
		case "content":
			if info, err := store.Info(ctx, digest.Digest(r.ID)); err == nil {
				p.blobs[info.Digest] = info.Size
			}
		case "ingests":
			if st, err := store.Status(ctx, r.ID); err == nil {
				p.ingests[r.ID] = st.Offset
			}
		}
	}
	return nil
}

// remove removes an image, unless it has come into use or got another name
// since it was selected.
func (p *prune) remove(ctx context.Context, was *catalog.Target) ([]image.DeleteResponse, error) {
	s, plan := p.s, removal{names: was.Names, gone: true}
	spared := false
	err := s.names.change(ctx, func(ctx context.Context) error {
		now := s.catalog.View().Targets[was.Desc.Digest]
		running, stopped := s.catalog.Users(was.Desc.Digest.String())
		if spared = now != was || len(running)+len(stopped) > 0; spared {
			return nil
		}
		return s.remove(ctx, was, plan)
	})
	if err != nil || spared {
		return nil, err
	}
	return s.removed(was, plan), nil
}

// gather adds what one image has. One with broken content has nothing that
// could be counted.
func (p *prune) gather(ctx context.Context, t *catalog.Target) error {
	list, err := blob.Tree(ctx, p.s.client.ContentStore(), t.Desc, nil)
	if err := catalog.Malformed(ctx, err); err != nil {
		return err
	}
	for _, d := range list {
		p.blobs[d.Digest] = d.Size
	}
	for chain, size := range t.Chains() {
		p.snapshots[chain] = size
	}
	return nil
}

// reclaim collects and counts what has gone.
func (p *prune) reclaim(ctx context.Context) (n uint64, err error) {
	// The names are gone: a client that leaves now must not leave the count wrong.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reclaimTimeout)
	defer cancel()
	if err := p.s.keeper.CollectNow(ctx); err != nil {
		return 0, fmt.Errorf("collect: %w", err)
	}
	snapshotter := p.s.client.SnapshotService(p.s.cfg.Snapshotter)
	for id, size := range p.blobs {
		if _, err := p.s.client.ContentStore().Info(ctx, id); errdefs.IsNotFound(err) {
			n += uint64(size)
		}
	}
	for ref, size := range p.ingests {
		if _, err := p.s.client.ContentStore().Status(ctx, ref); errdefs.IsNotFound(err) {
			n += uint64(size)
		}
	}
	for id, size := range p.snapshots {
		if _, err := snapshotter.Stat(ctx, id.String()); errdefs.IsNotFound(err) {
			n += uint64(size)
		}
	}
	return n, nil
}

// reclaimTimeout bounds a collection: removing large snapshots takes a while.
const reclaimTimeout = 5 * time.Minute

func (p *prune) publish(reclaimed uint64) {
	if p.s.cfg.Events == nil {
		return
	}
	now := time.Now()
	p.s.cfg.Events(events.Message{
		Type: events.ImageEventType, Action: events.ActionPrune,
		Actor: events.Actor{Attributes: map[string]string{"reclaimed": strconv.FormatUint(reclaimed, 10)}},
		Scope: "local", Time: now.Unix(), TimeNano: now.UnixNano(),
	})
}
