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
		// A step on the host's network must also be asked for by the client; all
		// privileges are not given. Docker's defaults.
		Entitlements: []string{"network.host"},
		DNS:          build.DNS{Servers: cfg.DNS, Search: cfg.DNSSearch, Options: cfg.DNSOptions},
		Logger:       log,
	})
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
