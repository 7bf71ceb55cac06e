package runtime

import (
	"context"

	"github.com/berth-engine/berth/pkg/trace"
	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/errdefs"
)

// DeleteTask ends the task: it kills what still runs, waits for it and for the
// shim to have delivered the last byte, and removes the task. NotFound: there
// is none. When the shim itself was killed, the code is 137 and the time now,
// and the container's processes and mounts are gone as well. The exit of a task
// that ended while no containerd ran is handed out once.
func (r *containerTasks) DeleteTask(ctx context.Context, id string) (Exit, error) {
	ctx, end := trace.Start(r.in(ctx), "runtime.task.delete", "id", id)
	defer end()
	x, err := r.remove(ctx, id, "", func(ctx context.Context) (*tasks.DeleteResponse, error) {
		return r.client.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
	})
	if err != nil && !errdefs.IsNotFound(err) {
		return Exit{}, err
	}
	if kept, ok := r.exits.take(id); ok && err != nil {
		return kept, nil
	}
	return x, err
}

// RemoveContainer removes containerd's container object. Absent is no error.
// FailedPrecondition: it has a task.
func (r *containerTasks) RemoveContainer(ctx context.Context, id string) error {
	ctx, end := trace.Start(r.in(ctx), "runtime.container.remove", "id", id)
	defer end()
	return ignore(r.client.ContainerService().Delete(ctx, id), errdefs.IsNotFound)
}

// Containers returns the IDs of the container objects that CreateTask made.
func (r *containerTasks) Containers(ctx context.Context) ([]string, error) {
	all, err := r.client.ContainerService().List(r.in(ctx), ownerFilter)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(all))
	for i, c := range all {
		ids[i] = c.ID
	}
	return ids, nil
}
