package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"

	shimrunc "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/runc"
)

// exits keeps how containers ended while no containerd ran. When containerd
// comes back it deletes each task without processes, and the exit code with it
// (core/runtime/v2 shouldCleanupShim); the shim's note of it is in the bundle
// and goes as well. So the notes are put aside before, in a folder, where they
// stay until DeleteTask has handed them out: a crash loses none.
type exits struct {
	dir string

	mu   sync.Mutex // guards byID
	byID map[string]Exit
}

// keepExits collects the notes that are in the bundles and those that are kept
// already. It must run before containerd does. An empty state has none.
func keepExits(c Config) (*exits, error) {
	e := &exits{dir: filepath.Join(c.State, "exits"), byID: map[string]Exit{}}
	if c.Address != "" {
		return e, nil // its bundles are not ours to read
	}
	bundles := bundleDir(c)
	for _, id := range folders(bundles) {
		note, err := shimrunc.ReadExitStatus(filepath.Join(bundles, id))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			kept := filepath.Join(e.dir, id)
			if err = os.MkdirAll(kept, 0o700); err == nil {
				err = shimrunc.WriteExitStatus(kept, note)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("keeping the exit of container %s: %w", id, err)
		}
	}
	for _, id := range folders(e.dir) {
		note, err := shimrunc.ReadExitStatus(filepath.Join(e.dir, id))
		if err != nil { // a crash between the folder and the note: it is made again
			slog.Debug("no exit is kept", "container", id, "error", err)
			continue
		}
		e.byID[id] = Exit{Code: note.Status, At: note.Timestamp}
	}
	return e, nil
}

// folders lists the visible folders in dir, which may be absent.
func folders(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && e.Name()[0] != '.' {
			names = append(names, e.Name())
		}
	}
	return names
}

// all returns a copy.
func (e *exits) all() map[string]Exit {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.byID)
}

// take returns the kept exit of a container and forgets it.
func (e *exits) take(id string) (Exit, bool) {
	e.mu.Lock()
	x, ok := e.byID[id]
	delete(e.byID, id)
	e.mu.Unlock()
	if ok {
		if err := os.RemoveAll(filepath.Join(e.dir, id)); err != nil {
			slog.Warn("the kept exit of a container stays", "container", id, "error", err)
		}
	}
	return x, ok
}
