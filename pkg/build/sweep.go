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
// before its container and removed after it.
func sweep(ctx context.Context, cfg Config) error {
	dir := executorDir(cfg)
	bundles, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, b := range bundles {
		if !b.IsDir() {
			continue
		}
		bundle := filepath.Join(dir, b.Name())
		if out, err := exec.CommandContext(ctx, cfg.Runc, "delete", "--force", b.Name()).CombinedOutput(); err != nil {
			return fmt.Errorf("ending build step %s: %w: %s", b.Name(), err, out)
		}
		if err := mount.UnmountAll(filepath.Join(bundle, "rootfs"), 0); err != nil {
			return fmt.Errorf("build step %s: %w", b.Name(), err)
		}
		if err := os.RemoveAll(bundle); err != nil {
			return err
		}
	}
	return nil
}
