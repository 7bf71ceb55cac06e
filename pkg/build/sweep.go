package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/cgroups"
	"github.com/containerd/containerd/v2/core/mount"
)

// sweep ends the steps of a daemon that was killed: each has a bundle, made
// before its container and removed after it. It says whether there were any.
func sweep(ctx context.Context, cfg Config) (left bool, err error) {
	dir := executorDir(cfg)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, ignoreNotExist(err)
	}
	hierarchies, err := cgroups.Hierarchies()
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, e := range entries {
		switch {
		case e.IsDir():
			left, err = true, errors.Join(err, end(ctx, cfg, hierarchies, e.Name()))
		case strings.HasPrefix(e.Name(), "hosts."): // of one step
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return left, err
}

// end ends one step and removes its bundle.
func end(ctx context.Context, cfg Config, hierarchies []string, id string) error {
	bundle := filepath.Join(executorDir(cfg), id)
	if out, err := exec.CommandContext(ctx, cfg.Runc, "delete", "--force", id).CombinedOutput(); err != nil {
		return fmt.Errorf("build step %s: %w: %s", id, err, out)
	}
	if err := removeCgroups(ctx, hierarchies, bundle); err != nil {
		return fmt.Errorf("build step %s: %w", id, err)
	}
	if err := mount.UnmountAll(filepath.Join(bundle, "rootfs"), 0); err != nil {
		return fmt.Errorf("build step %s: %w", id, err)
	}
	return os.RemoveAll(bundle)
}

// removeCgroups is for a runc that was killed while it made a container, as it is when the
// daemon is: it does not know of that container any more.
func removeCgroups(ctx context.Context, hierarchies []string, bundle string) error {
	b, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return ignoreNotExist(err)
	}
	path, err := cgroups.PathOf(b)
	if err != nil {
		return nil // the daemon was killed as it wrote this, before runc
	}
	return cgroups.Remove(ctx, hierarchies, path)
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
