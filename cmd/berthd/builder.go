package main

import (
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
		Snapshotter: cfg.StorageDriver, Runc: bin.runc, CgroupParent: "/berth",
		Images: images.Sink{Store: p.images}, Networks: p.networks, Registries: registries(cfg).Hosts(context.WithoutCancel(ctx)),
		// A step on the host's network must also be asked for by the client; all
		// privileges are not given. Docker's defaults.
		Entitlements: []string{"network.host"},
		Logger:       log,
	})
}

func registries(cfg *config.Config) images.Registry {
	return images.Registry{CertsDirs: []string{"/etc/berth/certs.d", "/etc/docker/certs.d"}, Insecure: cfg.InsecureRegistries}
}
