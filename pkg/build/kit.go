package build

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/berth-engine/berth/pkg/build/traces"
	"github.com/moby/buildkit/cache/remotecache"
	inlineremotecache "github.com/moby/buildkit/cache/remotecache/inline"
	localremotecache "github.com/moby/buildkit/cache/remotecache/local"
	registryremotecache "github.com/moby/buildkit/cache/remotecache/registry"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/worker"
)

// kit is a running BuildKit.
type kit struct {
	controller *control.Controller
	sessions   *session.Manager
	server     *server
	client     *bkclient.Client
	ending     chan struct{}
}

func newKit(ctx context.Context, cfg Config) (_ *kit, err error) {
	var undo []func() error
	defer func() {
		if err != nil {
			for i := len(undo) - 1; i >= 0; i-- {
				err = errors.Join(err, undo[i]())
			}
		}
	}()
	k := &kit{ending: make(chan struct{})}
	if k.sessions, err = session.NewManager(); err != nil {
		return nil, err
	}
	w, err := newWorker(ctx, cfg)
	if err != nil {
		return nil, err
	}
	undo = append(undo, w.Close)
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
		return nil, err
	}
	frontends, err := frontends(cfg.Frontends, workers)
	if err != nil {
		return nil, err
	}
	steps, err := bboltcachestorage.NewStore(filepath.Join(cfg.Root, "cache.db"))
	if err != nil {
		return nil, err
	}
	undo = append(undo, steps.Close)
	history, err := boltutil.SafeOpen(filepath.Join(cfg.Root, "history.db"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	undo = append(undo, history.Close)
	recorder := traces.New()
	undo = append(undo, func() error { return recorder.Shutdown(context.WithoutCancel(ctx)) })
	k.controller, err = control.NewController(control.Opt{
		SessionManager: k.sessions, WorkerController: workers, Frontends: frontends,
		CacheManager:              solver.NewCacheManager(ctx, "local", steps, worker.NewCacheResultStorage(workers)),
		ResolveCacheExporterFuncs: cacheExporters(cfg, k.sessions), ResolveCacheImporterFuncs: cacheImporters(cfg, k.sessions, w),
		Entitlements: cfg.Entitlements, HistoryDB: history, CacheStore: steps,
		LeaseManager: w.LeaseManager(), ContentStore: w.ContentStore(), GarbageCollect: w.GarbageCollect,
		GracefulStop: k.ending, TraceCollector: recorder,
	})
	if err != nil {
		return nil, err
	}
	undo = []func() error{k.controller.Close} // which closes all of the above
	k.server = newServer(recorder, k.controller.Register)
	undo = append(undo, k.server.close)
	if k.client, err = k.server.client(ctx); err != nil {
		return nil, err
	}
	return k, nil
}

// close ends the builds first: they use all that is closed after.
func (k *kit) close() error {
	close(k.ending)
	return errors.Join(k.client.Close(), k.server.close(), k.controller.Close())
}

func frontends(allowed []string, workers *worker.Controller) (map[string]frontend.Frontend, error) {
	images, err := gateway.NewGatewayFrontend(workers.Infos(), nil)
	return map[string]frontend.Frontend{
		"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), carefully(dockerfile.Build)),
		"gateway.v0":    limited{images, allowed},
	}, err
}

func cacheExporters(cfg Config, sessions *session.Manager) map[string]remotecache.ResolveCacheExporterFunc {
	return map[string]remotecache.ResolveCacheExporterFunc{
		"inline":   inlineremotecache.ResolveCacheExporterFunc(),
		"local":    localremotecache.ResolveCacheExporterFunc(sessions),
		"registry": registryremotecache.ResolveCacheExporterFunc(sessions, cfg.Registries),
	}
}

func cacheImporters(cfg Config, sessions *session.Manager, w *Worker) map[string]remotecache.ResolveCacheImporterFunc {
	return map[string]remotecache.ResolveCacheImporterFunc{
		"local":    localremotecache.ResolveCacheImporterFunc(sessions),
		"registry": registryremotecache.ResolveCacheImporterFunc(sessions, w.ContentStore(), cfg.Registries),
	}
}
