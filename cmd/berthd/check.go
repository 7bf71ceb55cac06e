package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/berth-engine/berth/pkg/config"
	"github.com/berth-engine/berth/pkg/logs"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/berth-engine/berth/pkg/runtime"
)

// configuration reads it, for a start, a reload or to validate it, and refuses whatever
// a start would refuse that can be known without a look at the kernel or the network.
func configuration(args []string, out io.Writer) (*config.Config, error) {
	cfg, err := config.Parse(args, out)
	if err != nil || cfg.ShowVersion {
		return cfg, err
	}
	if err := check(cfg); err != nil {
		return nil, fmt.Errorf("invalid configuration: %w", err)
	}
	return cfg, nil
}

// check asks the packages that own the settings what pkg/config, which imports none of
// them, cannot know.
func check(cfg *config.Config) error {
	if err := logs.Validate(cfg.LogDriver, cfg.LogOpts); err != nil {
		return fmt.Errorf("failed to set log opts: %w", err)
	}
	if err := define.CheckOptions(cfg.NetworkOptions); err != nil {
		return fmt.Errorf("default-network-opts: %w", err)
	}
	if err := containerDefaults(cfg).Check(); err != nil {
		return fmt.Errorf("seccomp-profile: %w", err)
	}
	if err := checkSnapshotter(cfg); err != nil {
		return err
	}
	return checkHosts(cfg)
}

// checkSnapshotter: one of a containerd of its own is known to that one alone.
func checkSnapshotter(cfg *config.Config) error {
	known := runtime.Snapshotters()
	_, proxied := cfg.ProxySnapshotters[cfg.StorageDriver]
	if cfg.Containerd != "" || proxied || slices.Contains(known, cfg.StorageDriver) {
		return nil
	}
	return fmt.Errorf("storage-driver: there is no snapshotter %q; there are %s, and those of proxy-snapshotters", cfg.StorageDriver, strings.Join(known, ", "))
}

func checkHosts(cfg *config.Config) error {
	for _, h := range cfg.Hosts {
		var err error
		switch {
		case h.Proto == "unix":
			_, err = groupID(cfg.Group)
		case h.Proto == "tcp" && cfg.TLS != nil:
			_, err = cfg.TLS.Server()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h, err)
		}
	}
	return nil
}
