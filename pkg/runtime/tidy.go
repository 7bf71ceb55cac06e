package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"

	"github.com/berth-engine/berth/pkg/cgroups"
)

// tidy ends what a daemon that was killed in the middle of a create left, and
// that containerd does not know of: shims, and containers of the OCI runtime
// and cgroups without a task. (When the daemon's connection breaks, a shim that
// is creating a container kills its OCI runtime, wherever that is.) It must run
// before anything is created.
func (r *Runtime) tidy(ctx context.Context) error {
	tasks, err := r.Tasks(ctx)
	if err != nil {
		return err
	}
	live := make(map[string]bool, len(tasks))
	for _, t := range tasks {
		live[t.ID] = true
	}
	if err := endOrphans(r.config, live); err != nil {
		return err
	}
	all, err := r.client.ContainerService().List(r.in(ctx), ownerFilter)
	if err != nil {
		return err
	}
	hierarchies, err := cgroups.Hierarchies()
	if err != nil {
		return err
	}
	for _, c := range all {
		if live[c.ID] {
			continue
		}
		if err := removeRemains(ctx, r.config, c, hierarchies); err != nil {
			// The container can still be started or removed.
			slog.Warn("remains of a container could not be removed", "container", c.ID, "error", err)
		}
	}
	return nil
}

// removeRemains does without the OCI runtime when that fails, or is gone.
func removeRemains(ctx context.Context, config Config, c containers.Container, hierarchies []string) error {
	root := filepath.Join(ociRoot(config), config.Namespace)
	err := deleteRemains(ctx, config, c, root)
	if cerr := removeCgroups(ctx, c, hierarchies); cerr != nil {
		return errors.Join(err, cerr)
	}
	if err != nil {
		slog.Warn("an OCI runtime does not delete its container, whose processes were killed", "container", c.ID, "error", err)
	}
	return os.RemoveAll(filepath.Join(root, c.ID))
}

// deleteRemains has the OCI runtime delete a container that it still knows.
func deleteRemains(ctx context.Context, config Config, c containers.Container, root string) error {
	if _, err := os.Lstat(filepath.Join(root, c.ID)); err != nil {
		return ignore(err, os.IsNotExist)
	}
	binary := config.Runtimes[config.Default].Path
	if v, err := typeurl.UnmarshalAny(c.Runtime.Options); err == nil {
		if o, ok := v.(*runcoptions.Options); ok && o.BinaryName != "" {
			binary = o.BinaryName
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, binary, "--root", root, "delete", "--force", c.ID).CombinedOutput(); err != nil {
		return fmt.Errorf("%s delete: %w: %s", binary, err, out)
	}
	return nil
}

// removeCgroups kills what is in the cgroups of a container without a task, and
// removes them.
func removeCgroups(ctx context.Context, c containers.Container, hierarchies []string) error {
	if c.Spec == nil {
		return nil
	}
	path, err := cgroups.PathOf(c.Spec.GetValue())
	if err != nil {
		return err
	}
	return cgroups.Remove(ctx, hierarchies, path)
}
