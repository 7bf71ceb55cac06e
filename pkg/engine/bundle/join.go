package bundle

import (
	"fmt"
	"path/filepath"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
)

// errRestarting is Docker's word for who is between two runs.
func errRestarting(ref string) error {
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is restarting, wait until the container is running", ref))
}

// donor finds a running container whose PID or IPC namespace another one joins.
func (b *Bundler) donor(ref string) (*unit.Unit, error) {
	u, err := b.Units.Find(ref)
	if err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(err.Error())
	}
	switch s := u.Status(); {
	case s.State == container.Restarting:
		return nil, errRestarting(ref)
	case !s.Live():
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", ref))
	}
	return u, nil
}

// pidOf finds the process whose namespaces another container joins.
func (b *Bundler) pidOf(ref string) (int, error) {
	u, err := b.donor(ref)
	if err != nil {
		return 0, err
	}
	return u.Status().Pid, nil
}

// sharedMemory gives the host path of /dev/shm for the ipc modes that share it;
// "" when the container has its own.
func (b *Bundler) sharedMemory(r *container.Record) (string, error) {
	mode := r.HostConfig.IpcMode
	switch {
	case mode.IsShareable():
		return spec.MountShm(b.Dir(r.ID), r.HostConfig.ShmSize)
	case !mode.IsContainer():
		return "", nil
	}
	for seen := map[string]bool{r.ID: true}; ; {
		ref := mode.Container()
		u, err := b.donor(ref)
		if err != nil {
			return "", fmt.Errorf("failed to join IPC namespace: %w", err)
		}
		mode = u.View().Record.HostConfig.IpcMode
		switch {
		case mode.IsShareable():
			return filepath.Join(b.Dir(u.ID), "shm"), nil
		case mode.IsHost():
			return "/dev/shm", nil
		case !mode.IsContainer() || seen[u.ID]:
			return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
				"failed to join IPC namespace: container %s: non-shareable IPC (hint: use IpcMode:shareable for the donor container)", ref))
		}
		seen[u.ID] = true
	}
}
