package shim

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/runc"
	upstream "github.com/containerd/containerd/v2/pkg/shim"
)

// Manager is upstream's, which starts shims and cleans up after them.
type Manager struct{ upstream.Shim }

// Start starts the shim of a task. What it adds to upstream's answer, that no kind
// of mount is the shim's own to make, saves containerd from running the shim a
// second time, with -info, to ask for it.
func (m Manager) Start(ctx context.Context, p *bootapi.BootstrapParams) (*bootapi.BootstrapResult, error) {
	r, err := m.Shim.Start(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := r.AddExtension(&types.MountCapabilities{}); err != nil {
		return nil, err
	}
	return r, nil
}

// deletedMark stands in the bundle of a task that the shim deleted completely.
const deletedMark = "berth.deleted"

// markDeleted spares the clean-up its look for what is left, which costs as much
// as the delete did. Without the mark it only takes longer.
func markDeleted(bundle string) {
	_ = os.WriteFile(filepath.Join(bundle, deletedMark), nil, 0o600)
}

// Stop cleans up after the shim of container id, the stream socket included.
// containerd calls it, in a process of its own, whenever a shim's connection
// ends: after each delete, and after a shim was killed.
func (m Manager) Stop(ctx context.Context, id string) (upstream.StopStatus, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return upstream.StopStatus{}, err
	}
	bundle := filepath.Join(filepath.Dir(cwd), id)
	if err := removeSocket(bundle); err != nil {
		slog.Warn("stream socket is left behind", "container", id, "error", err)
	}
	if _, err := os.Stat(filepath.Join(bundle, deletedMark)); err == nil {
		if exit, err := runc.ReadExitStatus(bundle); err == nil {
			return upstream.StopStatus{Pid: exit.Pid, ExitStatus: exit.Status, ExitedAt: exit.Timestamp}, nil
		}
	}
	status, err := m.Shim.Stop(ctx, id)
	if err := removeRemains(ctx, bundle, id); err != nil {
		slog.Warn("remains of a container are left behind", "container", id, "error", err)
	}
	return status, err
}
