package build

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/berth-engine/berth/pkg/build/classic"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/cache/metadata"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/executor/resources"
	"github.com/moby/buildkit/executor/runcexecutor"
	"github.com/moby/buildkit/exporter"
	imageexporter "github.com/moby/buildkit/exporter/containerimage"
	"github.com/moby/buildkit/session"
	containerdsnapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/leaseutil"
	bknetwork "github.com/moby/buildkit/util/network"
	"github.com/moby/buildkit/util/resolver"
	"github.com/moby/buildkit/util/winlayers"
	bkversion "github.com/moby/buildkit/version"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/label"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Worker is BuildKit's base worker with Docker's ways where they differ: images
// that are here come before the registry's, and results go into the image store.
type Worker struct {
	*base.Worker
	images    Images
	writer    *imageexporter.ImageWriter
	chains    snapshots.Snapshotter // containerd's own: BuildKit's may not remove
	namespace string                // of it
	log       *slog.Logger
}

func newWorker(ctx context.Context, cfg Config) (_ *Worker, err error) {
	opt, err := workerOptions(cfg)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = opt.MetadataStore.Close()
		}
	}()
	w := &Worker{images: cfg.Images, chains: cfg.Client.SnapshotService(cfg.Snapshotter), namespace: cfg.Namespace, log: cfg.Logger}
	if w.Worker, err = base.NewWorker(ctx, opt); err != nil {
		return nil, err
	}
	w.SourceManager.Register(localFirst{w.ImageSource})
	w.writer, err = imageexporter.NewImageWriter(imageexporter.WriterOpt{
		Snapshotter: opt.Snapshotter, ContentStore: opt.ContentStore, Applier: opt.Applier, Differ: opt.Differ,
	})
	return w, err
}

func workerOptions(cfg Config) (opt base.WorkerOpt, err error) {
	id, err := base.ID(cfg.Root)
	if err != nil {
		return opt, err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return opt, err
	}
	networks := networkProviders(cfg)
	run, monitor, err := newExecutor(cfg, networks)
	if err != nil {
		return opt, err
	}
	diff := inNamespace{cfg.Client.DiffService(), cfg.Namespace}
	content := containerdsnapshot.NewContentStore(cfg.Client.ContentStore(), cfg.Namespace)
	lm := leaseutil.WithNamespace(cfg.Client.LeasesService(), cfg.Namespace)
	db, err := metadata.NewStore(metadataFile(cfg))
	if err != nil {
		return opt, err
	}
	return base.WorkerOpt{
		ID: id, Root: cfg.Root,
		Labels:           labels(cfg, hostname),
		Platforms:        []ocispec.Platform{platforms.Normalize(platforms.DefaultSpec())},
		GCPolicy:         cfg.GC.policy(cfg.Root),
		BuildkitVersion:  bkclient.BuildkitVersion{Package: bkversion.Package, Version: bkversion.Version, Revision: bkversion.Revision},
		NetworkProviders: networks,
		Executor:         careful{tidy{run, cfg.CgroupParent}},
		ResourceMonitor:  monitor,
		Snapshotter:      containerdsnapshot.NewSnapshotter(cfg.Snapshotter, cfg.Client.SnapshotService(cfg.Snapshotter), cfg.Namespace, nil),
		ContentStore:     content,
		Applier:          winlayers.NewFileSystemApplierWithWindows(content, diff),
		Differ:           winlayers.NewWalkingDiffWithWindows(content, diff),
		ImageStore:       imagesInNamespace{cfg.Client.ImageService(), cfg.Namespace},
		RegistryHosts:    cfg.Registries,
		LeaseManager:     lm,
		GarbageCollect:   collect(lm),
		MetadataStore:    db,
		MountPoolRoot:    filepath.Join(cfg.Root, "cachemounts"),
	}, nil
}

func labels(cfg Config, hostname string) map[string]string {
	all := map[string]string{
		label.Executor: "oci", label.Hostname: hostname, label.Network: "bridge",
		// buildx takes this one for a sign that the image store is containerd's.
		label.Snapshotter: cfg.Snapshotter, label.ContainerdNamespace: cfg.Namespace,
	}
	if cfg.HostGateway != "" {
		all[classic.HostGatewayLabel] = cfg.HostGateway
	}
	return all
}

// metadataFile is there once BuildKit was started.
func metadataFile(cfg Config) string { return filepath.Join(cfg.Root, "metadata.db") }

// collect has containerd collect what nothing refers to: the end of a lease is
// what its scheduler acts on.
func collect(lm *leaseutil.Manager) func(context.Context) (gc.Stats, error) {
	return func(ctx context.Context) (gc.Stats, error) {
		l, err := lm.Create(ctx, leases.WithRandomID())
		if err != nil {
			return nil, err
		}
		return nil, lm.Delete(ctx, l, leases.SynchronousDelete)
	}
}

// executorDir is where steps have their bundles, named by their container.
func executorDir(cfg Config) string { return filepath.Join(cfg.Root, "executor") }

func newExecutor(cfg Config, networks map[pb.NetMode]bknetwork.Provider) (executor.Executor, *resources.Monitor, error) {
	monitor, err := resources.NewMonitor()
	if err != nil {
		return nil, nil, err
	}
	run, err := runcexecutor.New(runcexecutor.Opt{
		Root: executorDir(cfg), CommandCandidates: []string{cfg.Runc},
		DefaultCgroupParent: cfg.CgroupParent, ProcessMode: oci.ProcessSandbox, ResourceMonitor: monitor,
		DNS: cfg.DNS.config(),
	}, networks)
	return run, monitor, err
}

func (d DNS) config() *oci.DNSConfig {
	c := &oci.DNSConfig{SearchDomains: d.Search, Options: d.Options}
	for _, a := range d.Servers {
		c.Nameservers = append(c.Nameservers, a.String())
	}
	return c
}

// Exporter gives Docker's exporter, the image store, for an image.
func (w *Worker) Exporter(name string, sm *session.Manager) (exporter.Exporter, error) {
	if name == "moby" || name == bkclient.ExporterImage {
		e, err := newExporter(w, sm)
		return attesting{e}, err
	}
	e, err := w.Worker.Exporter(name, sm)
	if err == nil && (name == bkclient.ExporterOCI || name == bkclient.ExporterDocker) {
		e = compressing{e, w}
	}
	return attesting{e}, err
}

// Prune has the log say what went: who else could tell of a collection that nobody
// asked for?
func (w *Worker) Prune(ctx context.Context, removed chan bkclient.UsageInfo, rules ...bkclient.PruneInfo) error {
	var records int
	var bytes int64
	counted, done := make(chan bkclient.UsageInfo), make(chan struct{})
	go func() {
		defer close(done)
		for u := range counted {
			records, bytes = records+1, bytes+u.Size
			removed <- u
		}
	}()
	err := w.Worker.Prune(ctx, counted, rules...)
	close(counted)
	<-done
	if records > 0 {
		w.log.DebugContext(ctx, "build cache collected", "records", records, "bytes", bytes)
	}
	return err
}

// ResolveSourceMetadata prefers images that are here, as the source does.
func (w *Worker) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt, sm *session.Manager, job solver.JobContext) (*sourceresolver.MetaResponse, error) {
	if opt.ImageOpt != nil && isDefault(opt.ImageOpt.ResolveMode) {
		img := *opt.ImageOpt
		img.ResolveMode = resolver.ResolveModePreferLocal.String()
		opt.ImageOpt = &img
	}
	return w.Worker.ResolveSourceMetadata(ctx, op, opt, sm, job)
}
