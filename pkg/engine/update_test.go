package engine

import (
	"errors"
	"testing"

	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

func TestUpdate(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.run(e)
	before, _ := e.Reader().Inspect(t.Context(), id, false)
	ask := &ctypes.UpdateConfig{RestartPolicy: ctypes.RestartPolicy{Name: "always"}}
	w.journal.failing("update", errors.New("device or resource busy"))
	if _, err := e.Update(t.Context(), id, ask); err == nil || err.Error() != "Cannot update container "+id+": device or resource busy" {
		t.Errorf("%v", err)
	}
	if after, _ := e.Reader().Inspect(t.Context(), id, false); after.HostConfig.RestartPolicy.Name != before.HostConfig.RestartPolicy.Name {
		t.Error("an update that failed was recorded")
	}
	w.journal.failing("update", nil)
	if _, err := e.Update(t.Context(), id, ask); err != nil {
		t.Fatal(err)
	}
	e.Close()
	e = w.engine() // as it is on disk
	if after, _ := e.Reader().Inspect(t.Context(), id, false); after.HostConfig.RestartPolicy.Name != "always" || before.HostConfig.RestartPolicy.Name == "always" {
		t.Errorf("before %v, after %v", before.HostConfig.RestartPolicy, after.HostConfig.RestartPolicy)
	}
	if _, err := e.Update(t.Context(), id, &ctypes.UpdateConfig{RestartPolicy: ctypes.RestartPolicy{Name: "often"}}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("%v", err)
	}
}
