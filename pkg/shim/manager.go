package shim

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	upstream "github.com/containerd/containerd/v2/pkg/shim"
)

// Manager is upstream's, which starts shims and cleans up after killed ones. That
// includes the stream socket here.
type Manager struct{ upstream.Shim }

// Stop cleans up after the shim of container id. containerd calls it, in the
// container's bundle, when the shim's connection ends for whatever reason.
func (m Manager) Stop(ctx context.Context, id string) (upstream.StopStatus, error) {
	if cwd, err := os.Getwd(); err == nil {
		if err := removeSocket(filepath.Join(filepath.Dir(cwd), id)); err != nil {
			slog.Warn("stream socket is left behind", "container", id, "error", err)
		}
	}
	return m.Shim.Stop(ctx, id)
}
