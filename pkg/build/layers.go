package build

import (
	"context"

	"github.com/moby/buildkit/cache"
	cacheconfig "github.com/moby/buildkit/cache/config"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/util/compression"
	"github.com/moby/buildkit/util/progress"
	"golang.org/x/sync/errgroup"
)

// GetRemotes is asked for the layers of results that caches are exported of.
func (w *Worker) GetRemotes(ctx context.Context, ref cache.ImmutableRef, create bool, cfg cacheconfig.RefConfig, all bool, g session.Group) ([]*solver.Remote, error) {
	if ref == nil {
		return nil, nil
	}
	cfg.Compression, _ = quick(cfg.Compression)
	return ref.GetRemotes(ctx, create, cfg, all, g)
}

// compressing is an exporter of layers that finds them compressed: it would have
// it done by BuildKit's gzip.
type compressing struct {
	exporter.Exporter
	w *Worker
}

func (e compressing) Resolve(ctx context.Context, id int, attrs map[string]string) (exporter.ExporterInstance, error) {
	i, err := e.Exporter.Resolve(ctx, id, attrs)
	if err != nil {
		return nil, err
	}
	c, ok := quick(i.Config().Compression())
	if !ok {
		return i, nil
	}
	return compressed{i, c}, nil
}

// compressed is one export of compressing.
type compressed struct {
	exporter.ExporterInstance
	how compression.Config
}

func (e compressed) Export(ctx context.Context, src *exporter.Source, info exporter.ExportBuildInfo) (map[string]string, exporter.FinalizeFunc, exporter.DescriptorReference, error) {
	if err := e.compress(ctx, src, session.NewGroup(info.SessionID)); err != nil {
		return nil, nil, nil, err
	}
	return e.ExporterInstance.Export(ctx, src, info)
}

// compress makes the blobs that are missing. The cache's records hold them.
func (e compressed) compress(ctx context.Context, src *exporter.Source, g session.Group) error {
	done := progress.OneOff(ctx, "compressing layers")
	group, ctx := errgroup.WithContext(ctx)
	err := src.EachRef(func(ref cache.ImmutableRef) error {
		group.Go(func() error {
			_, err := ref.GetRemotes(ctx, true, cacheconfig.RefConfig{Compression: e.how}, false, g)
			return err
		})
		return nil
	})
	if werr := group.Wait(); err == nil {
		err = werr
	}
	return done(err)
}
