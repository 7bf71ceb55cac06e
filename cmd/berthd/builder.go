package main

import (
	"cmp"
	"context"
	"log/slog"
	"path/filepath"

	"github.com/berth-engine/berth/pkg/build"
	"github.com/berth-engine/berth/pkg/config"
	"github.com/berth-engine/berth/pkg/images"
)

func openBuilder(ctx context.Context, cfg *config.Config, bin binaries, p *parts, log *slog.Logger) (*build.Builder, error) {
	return build.Open(ctx, build.Config{
		Root: filepath.Join(cfg.DataRoot, "build"), Client: p.runtime.Client(), Namespace: cfg.ContainerdNamespace,
		Snapshotter: cfg.StorageDriver, Runc: bin.runc, CgroupParent: cmp.Or(cfg.CgroupParent, "/berth"),
		Images: images.Sink{Store: p.images}, Networks: p.networks, Registries: p.registries.Anyone(context.WithoutCancel(ctx)),
		HostGateway: p.hostGateway(cfg), Events: p.bus.Publish,
		GC: collection(cfg.Builder.GC), Entitlements: entitlements(cfg.Builder.Entitlements), Frontends: cfg.Builder.Frontends,
		MaxContext: int64(cfg.Builder.MaxContext),
		DNS:        build.DNS{Servers: cfg.DNS, Search: cfg.DNSSearch, Options: cfg.DNSOptions},
		Logger:     log,
	})
}

// entitlements are what clients may ask for: a step on the host's network unless
// that is forbidden, all privileges if they are granted. Docker's defaults.
func entitlements(e config.Entitlements) (out []string) {
	if e.NetworkHost == nil || *e.NetworkHost {
		out = append(out, "network.host")
	}
	if e.SecurityInsecure != nil && *e.SecurityInsecure {
		out = append(out, "security.insecure")
	}
	return out
}

func collection(c config.BuilderGC) build.GC {
	gc := build.GC{
		Disabled:      c.Enabled != nil && !*c.Enabled,
		ReservedSpace: int64(c.ReservedSpace), MaxUsedSpace: int64(c.MaxUsedSpace), MinFreeSpace: int64(c.MinFreeSpace),
	}
	for _, r := range c.Policy {
		gc.Rules = append(gc.Rules, build.GCRule{
			All: r.All, Filters: r.Filter, KeepDuration: r.Age,
			ReservedSpace: int64(r.ReservedSpace), MaxUsedSpace: int64(r.MaxUsedSpace), MinFreeSpace: int64(r.MinFreeSpace),
		})
	}
	return gc
}

// hostGateway is how steps reach the host: as configured, or by the default
// network's gateway.
func (p *parts) hostGateway(cfg *config.Config) string {
	for _, a := range cfg.HostGateways {
		return a.String()
	}
	n, err := p.networks.Lookup("bridge")
	if err != nil {
		return "" // there is no default network
	}
	for _, c := range n.IPAM.Config {
		if c.Gateway.IsValid() {
			return c.Gateway.String()
		}
	}
	return ""
}
