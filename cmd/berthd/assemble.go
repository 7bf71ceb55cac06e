package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/berth-engine/berth/pkg/api"
	apibuild "github.com/berth-engine/berth/pkg/api/build"
	apicontainers "github.com/berth-engine/berth/pkg/api/containers"
	apiexec "github.com/berth-engine/berth/pkg/api/exec"
	apiimages "github.com/berth-engine/berth/pkg/api/images"
	apinetworks "github.com/berth-engine/berth/pkg/api/networks"
	apiplugins "github.com/berth-engine/berth/pkg/api/plugins"
	apiregistry "github.com/berth-engine/berth/pkg/api/registry"
	apiswarm "github.com/berth-engine/berth/pkg/api/swarm"
	apisystem "github.com/berth-engine/berth/pkg/api/system"
	apivolumes "github.com/berth-engine/berth/pkg/api/volumes"
	"github.com/berth-engine/berth/pkg/build"
	"github.com/berth-engine/berth/pkg/build/classic"
	"github.com/berth-engine/berth/pkg/config"
	"github.com/berth-engine/berth/pkg/engine"
	"github.com/berth-engine/berth/pkg/engine/cdi"
	"github.com/berth-engine/berth/pkg/engine/layout"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/events"
	"github.com/berth-engine/berth/pkg/images"
	"github.com/berth-engine/berth/pkg/images/remote"
	"github.com/berth-engine/berth/pkg/logs"
	"github.com/berth-engine/berth/pkg/metrics"
	"github.com/berth-engine/berth/pkg/net"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/berth-engine/berth/pkg/store"
	"github.com/berth-engine/berth/pkg/system"
	"github.com/berth-engine/berth/pkg/version"
	"github.com/berth-engine/berth/pkg/volumes"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	ctypes "github.com/moby/moby/api/types/container"
)

// parts are the daemon: each is handed what it needs of the others here, and
// nowhere else.
type parts struct {
	bin        binaries
	bus        *events.Bus
	runtime    *runtime.Runtime
	images     *images.Store
	registries *remote.Registries
	transfers  images.Bounds
	networks   *net.Manager
	volumes    *volumes.Store
	engine     *engine.Engine
	builder    *build.Builder
	system     *system.System
	metrics    *metrics.Metrics // nil when nobody asks for them
}

func assemble(ctx context.Context, cfg *config.Config, db *store.DB, log *slog.Logger) (_ *parts, err error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	host, err := spec.DetectHost()
	if err != nil {
		return nil, err
	}
	p := &parts{bus: &events.Bus{}, bin: bin}
	defer func() {
		if err != nil {
			p.close(log)
		}
	}()
	if p.runtime, err = openRuntime(ctx, cfg, bin); err != nil {
		return nil, err
	}
	p.registries = remote.New(remote.Config{
		CertsDirs: []string{"/etc/berth/certs.d", "/etc/docker/certs.d"}, Insecure: cfg.InsecureRegistries, Mirrors: cfg.RegistryMirrors,
		Proxies: remote.Proxies{HTTP: cfg.Proxies.HTTP, HTTPS: cfg.Proxies.HTTPS, No: cfg.Proxies.No},
	})
	p.transfers.Set(transfers(cfg))
	if p.images, err = images.Open(ctx, images.Config{
		Client: p.runtime.Client(), Namespace: cfg.ContainerdNamespace, Snapshotter: cfg.StorageDriver,
		Registries: p.registries,
		Transfers:  &p.transfers,
		Disk:       images.Disk{Policy: cfg.ImageGC, Root: cfg.DataRoot, Discard: cfg.DiscardLayers},
		Events:     p.bus.Publish, InUse: p.imageUsers, Logger: log,
	}); err != nil {
		return nil, err
	}
	if p.networks, err = openNetworks(ctx, cfg, bin.cni, p.bus, log); err != nil {
		return nil, err
	}
	if p.volumes, err = volumes.Open(volumes.Config{
		Root: filepath.Join(cfg.DataRoot, "volumes"), DataRoot: cfg.DataRoot,
		Publish: p.bus.Publish, Freeze: p.freeze, Images: p.runtime.OpenImage, Logger: log,
		FaultPoint: faultPoint,
	}); err != nil {
		return nil, err
	}
	if p.engine, err = engine.New(ctx, engine.Config{
		DataRoot: cfg.DataRoot, ExecRoot: cfg.ExecRoot, Init: cmp.Or(cfg.InitPath, bin.init),
		Runtimes: p.runtime.Runtimes, Defaults: containerDefaults(cfg), Host: host,
		Devices: cfg.CDISpecDirs, LinkEnv: os.Getenv("DOCKER_KEEP_DEPRECATED_LEGACY_LINKS_ENV_VARS") == "1",
		Tasks: p.runtime, Images: engineImages{p.images}, Networks: p.networks, Names: p.networks.Names, Volumes: p.volumes, Store: db, Events: p.bus,
		Logger: log, FaultPoint: faultPoint,
	}); err != nil {
		return nil, err
	}
	if p.builder, err = openBuilder(ctx, cfg, bin, p, log); err != nil {
		return nil, err
	}
	return p, p.describe(cfg, host, db)
}

// describe makes what tells of the daemon as a whole.
func (p *parts) describe(cfg *config.Config, host spec.Host, db *store.DB) error {
	id, err := engineID(db)
	if err != nil {
		return err
	}
	p.system = system.New(system.Config{
		ID: id, DataRoot: cfg.DataRoot, Driver: cfg.StorageDriver, LogConfig: containerDefaults(cfg).LogConfig,
		LogDrivers: logs.Drivers(), LogBound: logs.Bound(cfg.LogDriver, cfg.LogOpts),
		Settings: settings(cfg, p.bin), Experimental: cfg.Experimental, CDISpecDirs: cfg.CDISpecDirs, Devices: cdi.Dirs(cfg.CDISpecDirs).Devices,
		Pools: addressPools(cfg), Proxies: proxies(cfg), Plain: plain(cfg),
		Containerd: containerdSocket(cfg), Namespace: cfg.ContainerdNamespace, Features: features(host),
		Counts: p.engine.Reader().Counts, Images: p.images.Catalog().Count, Disk: p.disk(), Events: p.bus, Versions: system.Components(p.bin.runc),
	})
	if cfg.MetricsAddr != "" {
		p.metrics = metrics.New(metrics.Config{
			Info: p.system.Labels(), Memory: system.Memory(),
			Counts: p.engine.Reader().Counts, Published: p.bus.Published, Subscribers: p.bus.Subscribers,
		})
	}
	return nil
}

// server is the HTTP side.
func (p *parts) server(cfg *config.Config, log *slog.Logger) (*api.Server, error) {
	c := api.Config{
		Logger: log, Version: version.Version, MinAPI: version.MinAPI, MaxAPI: version.MaxAPI, Experimental: cfg.Experimental,
		Routes: slices.Concat(
			apicontainers.Routes(apicontainers.Backend{
				Registry: p.engine, Lifecycle: p.engine, Freezer: p.engine, Watcher: p.engine,
				Reader: p.engine.Reader(), Streamer: p.engine.Streams(), Archiver: p.engine.Contents(), Differ: p.engine.Contents(), Checkpoints: p.engine.Checkpoints(),
			}),
			apiexec.Routes(p.engine.Execs()),
			apiimages.Routes(apiimages.Backend{Reader: p.images.Catalog(), Writer: p.images, Mover: p.images}), apiregistry.Routes(p.registries),
			apinetworks.Routes(p.networks, p.engine.Endpoints()),
			apivolumes.Routes(p.volumes), apivolumes.BackupRoutes(p.volumes.Backups()),
			apiplugins.Routes(), apiswarm.Routes(),
			apisystem.Routes(p.system, apisystem.Ping{Builder: "2"}),
			apibuild.Routes(apibuild.Backend{Builder: p.builder, Classic: classic.New(p.builder, int64(cfg.Builder.MaxContext))}),
		),
	}
	if p.metrics != nil {
		c.Observe = p.metrics.Observe
	}
	if cfg.Debug {
		c.Debug = debugHandler()
	}
	return api.New(c)
}

// closeTimeout bounds what the daemon does after its last answer.
const closeTimeout = 30 * time.Second

// close ends what was opened, in the reverse order. Containers go on.
func (p *parts) close(log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var errs []error
	if p.builder != nil {
		errs = append(errs, p.builder.Close())
	}
	idle := false
	if p.engine != nil {
		running, paused, _ := p.engine.Reader().Counts()
		idle = running+paused == 0
		p.engine.Close()
	}
	if p.volumes != nil {
		p.volumes.Close()
	}
	if p.networks != nil {
		errs = append(errs, p.networks.Close(ctx, idle))
	}
	if p.images != nil {
		errs = append(errs, p.images.Close())
	}
	if p.runtime != nil {
		errs = append(errs, p.runtime.Close())
	}
	if err := errors.Join(errs...); err != nil {
		log.Error("shutdown", "error", err)
	}
}

// imageUsers asks the engine, which is made after the images.
func (p *parts) imageUsers(id string) (running, stopped []string) {
	if p.engine == nil {
		return nil, nil
	}
	return p.engine.Reader().ImageUsers(id)
}

func openRuntime(ctx context.Context, cfg *config.Config, bin binaries) (*runtime.Runtime, error) {
	return runtime.Open(ctx, runtime.Config{
		Address: cfg.Containerd, Namespace: cfg.ContainerdNamespace,
		Root: filepath.Join(cfg.DataRoot, "containerd"), State: filepath.Join(cfg.ExecRoot, "containerd"),
		Shim: bin.shim, Runtimes: ociRuntimes(cfg, bin), Default: cfg.DefaultRuntime,
		Snapshotter: cfg.StorageDriver, Proxies: cfg.ProxySnapshotters, Debug: cfg.Debug,
	})
}

func ociRuntimes(cfg *config.Config, bin binaries) map[string]runtime.Binary {
	all := map[string]runtime.Binary{config.BuiltinRuntime: {Path: bin.runc}}
	for name, r := range cfg.Runtimes {
		all[name] = runtime.Binary{Path: r.Path}
	}
	return all
}

func containerDefaults(cfg *config.Config) spec.Defaults {
	return spec.Defaults{
		LogConfig: ctypes.LogConfig{Type: cfg.LogDriver, Config: cfg.LogOpts}, Init: cfg.Init,
		ShmSize: cfg.ShmSize, IpcMode: ctypes.IpcMode(cfg.IpcMode), CgroupnsMode: ctypes.CgroupnsMode(cfg.CgroupnsMode),
		CgroupParent: cfg.CgroupParent, Ulimits: cfg.Ulimits, NoNewPrivileges: cfg.NoNewPrivileges, Seccomp: cfg.Seccomp,
		DNS: cfg.DNS, DNSSearch: cfg.DNSSearch, DNSOptions: cfg.DNSOptions, HostGateway: cfg.HostGateways,
	}
}

func openNetworks(ctx context.Context, cfg *config.Config, plugins string, bus *events.Bus, log *slog.Logger) (*net.Manager, error) {
	c := net.Config{
		ExecRoot: cfg.ExecRoot, DataRoot: cfg.DataRoot, MTU: cfg.MTU,
		IPv6: cfg.IPv6, V4: define.BridgeSubnet(cfg.V4), V6: define.BridgeSubnet(cfg.V6), NetworkOptions: cfg.NetworkOptions,
		CNIPath: []string{plugins, cfg.CNIPlugins}, CNIConf: cfg.CNIConf, Events: bus.Publish, Log: log,
		Holder: layout.Layout{Run: cfg.ExecRoot}.Socket, Proxy: cfg.UserlandProxy, AllowDirectRouting: cfg.DirectRouting,
		HostIP: cfg.HostIP, NoICC: !cfg.ICC, NoMasquerade: !cfg.Masquerade,
		Forwarding: firewall.Forwarding{Off: !cfg.Forward, Open: cfg.ForwardNoDrop},
	}
	if c.DisableBridge = cfg.Bridge == "none"; !c.DisableBridge {
		c.Bridge = cfg.Bridge
	}
	for _, p := range cfg.AddressPools {
		c.Pools = append(c.Pools, ipam.AddressPool{Base: p.Base, Size: p.Size})
	}
	return net.New(ctx, c)
}

func containerdSocket(cfg *config.Config) string {
	if cfg.Containerd != "" {
		return cfg.Containerd
	}
	return filepath.Join(cfg.ExecRoot, "containerd", "containerd.sock")
}

func features(h spec.Host) system.Features {
	return system.Features{
		Cgroup2: h.Cgroup2, MemoryLimit: h.MemoryLimit, SwapLimit: h.SwapLimit, CPUCfs: h.CPUCfs, CPUShares: h.CPUShares,
		CPUSet: h.Cpuset, PidsLimit: h.PidsLimit, OomKillDisable: h.OomKillDisable,
		Seccomp: h.Seccomp, AppArmor: h.AppArmor, CgroupNamespaces: h.CgroupNamespaces,
	}
}

// engineID is this root's, made once.
func engineID(db *store.DB) (string, error) {
	b := db.Bucket("engine")
	id, err := b.Get("id")
	if errdefs.IsNotFound(err) {
		id = []byte(uuid.NewString())
		err = b.Put("id", id)
	}
	if err != nil {
		return "", fmt.Errorf("engine ID: %w", err)
	}
	return string(id), nil
}
