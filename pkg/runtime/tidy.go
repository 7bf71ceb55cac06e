package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
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
	hierarchies, err := cgroupMounts()
	if err != nil {
		return err
	}
	for _, c := range all {
		if live[c.ID] {
			continue
		}
		if err := errors.Join(deleteRemains(ctx, r.config, c), removeCgroups(ctx, c, hierarchies)); err != nil {
			// The container can still be started or removed.
			slog.Warn("remains of a container could not be removed", "container", c.ID, "error", err)
		}
	}
	return nil
}

// deleteRemains has the OCI runtime delete a container that it still knows.
func deleteRemains(ctx context.Context, config Config, c containers.Container) error {
	root := filepath.Join(ociRoot(config), config.Namespace)
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

// cgroupMounts returns where cgroup hierarchies are mounted.
func cgroupMounts() ([]string, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup", "cgroup2"))
	if err != nil {
		return nil, err
	}
	dirs := make([]string, len(mounts))
	for i, m := range mounts {
		dirs[i] = m.Mountpoint
	}
	return dirs, nil
}

// removeCgroups kills what is in the cgroups of a container without a task, and
// removes them.
func removeCgroups(ctx context.Context, c containers.Container, hierarchies []string) (err error) {
	if c.Spec == nil {
		return nil
	}
	var spec struct {
		Linux struct {
			CgroupsPath string `json:"cgroupsPath"`
		} `json:"linux"`
	}
	if err := json.Unmarshal(c.Spec.GetValue(), &spec); err != nil {
		return err
	}
	path := filepath.Clean("/" + spec.Linux.CgroupsPath)
	if path == "/" || strings.Contains(path, ":") { // a systemd unit, which systemd removes
		return nil
	}
	for _, dir := range hierarchies {
		err = errors.Join(err, removeCgroup(ctx, filepath.Join(dir, path)))
	}
	return err
}

// removeCgroup waits for the processes that it kills: they leave a cgroup some
// time after their end, and nothing tells.
func removeCgroup(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for {
		err := os.Remove(dir)
		if !errors.Is(err, unix.EBUSY) {
			return ignore(err, os.IsNotExist)
		}
		procs, perr := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if perr != nil {
			return ignore(perr, os.IsNotExist)
		}
		for _, line := range strings.Fields(string(procs)) {
			if pid, perr := strconv.Atoi(line); perr == nil && pid > 0 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}
