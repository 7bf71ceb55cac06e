package build

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/berth-engine/berth/pkg/cgroups"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/identity"
)

// tidy has a step that was cancelled leave no cgroup.
type tidy struct {
	executor.Executor
	parent string // cgroup of steps that name none
}

// Run is the executor's.
func (t tidy) Run(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, started chan<- struct{}) (types.Recorder, error) {
	if id == "" {
		id = identity.NewID()
	}
	rec, err := t.Executor.Run(ctx, id, root, mounts, process, started)
	if err != nil && ctx.Err() != nil {
		if rerr := t.removeCgroups(context.WithoutCancel(ctx), id, process.Meta.CgroupParent); rerr != nil {
			err = errors.Join(err, rerr)
		}
	}
	return rec, err
}

// removeCgroups is for a runc that was killed while it made a container: it does not know
// of that any more.
func (t tidy) removeCgroups(ctx context.Context, id, parent string) error {
	if parent == "" {
		parent = t.parent
	}
	if parent == "" {
		return nil
	}
	hierarchies, err := cgroups.Hierarchies()
	if err != nil {
		return err
	}
	return cgroups.Remove(ctx, hierarchies, filepath.Join("/", parent, "buildkit", id)) // as BuildKit calls it
}
