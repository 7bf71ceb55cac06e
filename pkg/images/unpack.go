package images

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/errdefs"
)

// unpackHere unpacks a manifest of an image that has a name, and returns when
// the index knows.
func (s *Store) unpackHere(ctx context.Context, t *catalog.Target, m *catalog.Manifest) (err error) {
	ctx = s.context(ctx)
	if !m.Available {
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("layers of %s are missing, pull or load the image again", m.Desc.Digest))
	}
	ctx, done, err := s.keeper.Lease(ctx)
	if err != nil {
		return err
	}
	defer func() { done(err == nil) }()
	if err := s.layers.Unpack(ctx, catalog.Bare(m.Desc)); err != nil {
		return err
	}
	return s.catalog.Refresh(ctx, catalog.Request{Names: []string{t.Names[0].Name}, Reread: true})
}

// discarded collects what an operation let go — compressed layers where they are not
// kept, or, if partial, other platforms' content — and has the index know. The
// operation's lease must have ended.
func discarded(ctx context.Context, s *Store, partial bool, names []string) {
	if s.layers.Whole && !partial {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reclaimTimeout)
	defer cancel()
	err := s.keeper.CollectNow(ctx)
	if rerr := s.catalog.Refresh(ctx, catalog.Request{Names: names, Reread: true}); err == nil {
		err = rerr
	}
	if err != nil {
		s.log.Warn("images: collect what is not kept", "error", err)
	}
}
