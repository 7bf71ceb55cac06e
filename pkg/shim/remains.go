package shim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types/task"
	upstreamprocess "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/process"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/runc"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/pkg/cgroups"
)

// An OCI runtime may be gone, or broken, by the time that its container is to end: an
// upgrade replaced it, somebody deleted it. What the runtime does then, the shim does.

// signalSelf sends a signal that the OCI runtime did not send, for the reason failed.
func (s *Service) signalSelf(ctx context.Context, r *taskapi.KillRequest, failed error) error {
	state, err := s.TTRPCTaskService.State(ctx, &taskapi.StateRequest{ID: r.ID})
	if err != nil || state.Status == task.Status_STOPPED || state.Pid == 0 {
		return failed
	}
	fd, err := unix.PidfdOpen(int(state.Pid), 0)
	if err != nil {
		return failed
	}
	defer unix.Close(fd)
	// Its ID is no other process's while upstream has not seen its end.
	if state, err = s.TTRPCTaskService.State(ctx, &taskapi.StateRequest{ID: r.ID}); err != nil || state.Status == task.Status_STOPPED {
		return failed
	}
	if err := unix.PidfdSendSignal(fd, unix.Signal(r.Signal), nil, 0); err != nil {
		return errors.Join(failed, err)
	}
	slog.Warn("the OCI runtime sends no signal; sent without it", "container", r.ID, "signal", r.Signal, "error", failed)
	if unix.Signal(r.Signal) == unix.SIGKILL {
		all, path, err := containerCgroups(state.Bundle)
		if err != nil {
			return err
		}
		cgroups.Kill(all, path)
	}
	return nil
}

// deleteSelf deletes a container that has ended and that the OCI runtime did not
// delete, for the reason failed. Upstream's service goes on to list it.
func (s *Service) deleteSelf(ctx context.Context, id string, failed error) (*taskapi.DeleteResponse, error) {
	state, err := s.TTRPCTaskService.State(ctx, &taskapi.StateRequest{ID: id})
	if err != nil || state.Status != task.Status_STOPPED {
		return nil, failed
	}
	if err := removeRemains(ctx, state.Bundle, id); err != nil {
		return nil, errors.Join(failed, err)
	}
	slog.Warn("the OCI runtime does not delete its container; deleted without it", "container", id, "error", failed)
	s.mu.Lock()
	s.orphaned = true
	s.mu.Unlock()
	return &taskapi.DeleteResponse{Pid: state.Pid, ExitStatus: state.ExitStatus, ExitedAt: state.ExitedAt}, nil
}

// removeRemains removes what the OCI runtime has of a container, with its processes, and
// its mounts. What is gone is no error.
func removeRemains(ctx context.Context, bundle, id string) error {
	all, path, err := containerCgroups(bundle)
	if err == nil {
		err = cgroups.Remove(ctx, all, path)
	}
	if err != nil {
		return err
	}
	root := upstreamprocess.RuncRoot
	if opts, err := runc.ReadOptions(bundle); err != nil {
		return err
	} else if opts != nil && opts.Root != "" {
		root = opts.Root
	}
	ns, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(root, ns, id)); err != nil {
		return err
	}
	return mount.UnmountRecursive(filepath.Join(bundle, "rootfs"), 0)
}

// containerCgroups returns the hierarchies, and which cgroup in each is the bundle's container's.
func containerCgroups(bundle string) (hierarchies []string, path string, err error) {
	b, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err == nil {
		path, err = cgroups.PathOf(b)
	}
	if err != nil {
		return nil, "", fmt.Errorf("cgroups of a container: %w", err)
	}
	hierarchies, err = cgroups.Hierarchies()
	return hierarchies, path, err
}

// refused says that an answer is none about the state of the process.
func refused(err error) bool {
	if err == nil {
		return false
	}
	err = errgrpc.ToNative(err)
	return !errdefs.IsNotFound(err) && !errdefs.IsFailedPrecondition(err)
}
