package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
)

// sweep ends the steps of a daemon that was killed: each has a bundle, made
// before its container and removed after it. It says whether there were any.
func sweep(ctx context.Context, cfg Config) (left bool, err error) {
	dir := executorDir(cfg)
	bundles, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, b := range bundles {
		if b.IsDir() {
			left, err = true, errors.Join(err, end(ctx, cfg, b.Name()))
		}
	}
	return left, err
}

// end ends one step and removes its bundle.
func end(ctx context.Context, cfg Config, id string) error {
	bundle := filepath.Join(executorDir(cfg), id)
	if out, err := exec.CommandContext(ctx, cfg.Runc, "delete", "--force", id).CombinedOutput(); err != nil {
		return fmt.Errorf("build step %s: %w: %s", id, err, out)
	}
	if err := mount.UnmountAll(filepath.Join(bundle, "rootfs"), 0); err != nil {
		return fmt.Errorf("build step %s: %w", id, err)
	}
	return os.RemoveAll(bundle)
}
