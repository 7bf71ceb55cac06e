package shim

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	upstream "github.com/containerd/containerd/v2/pkg/shim"
)

// Manager is upstream's, for what the launcher leaves to it.
type Manager struct{ upstream.Shim }

// Stop cleans up after the shim of container id that did not delete its task, as one that
// was killed.
func (m Manager) Stop(ctx context.Context, id string) (upstream.StopStatus, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return upstream.StopStatus{}, err
	}
	status, err := m.Shim.Stop(ctx, id)
	if err := removeRemains(ctx, filepath.Join(filepath.Dir(cwd), id), id); err != nil {
		slog.Warn("remains of a container are left behind", "container", id, "error", err)
	}
	return status, err
}
