package runtime

import (
	"context"
	"fmt"

	"github.com/berth-engine/berth/pkg/trace"
	"github.com/containerd/containerd/api/services/tasks/v1"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/types/known/anypb"
)

// CheckpointTask has the OCI runtime dump the processes of a container that runs
// into a folder, by CRIU, which must be in PATH. exit ends them then; else, and
// when it fails, they go on. The folder exists, and what is in it after a failure
// is of no use.
func (r *containerTasks) CheckpointTask(ctx context.Context, id, dir string, exit bool) error {
	ctx, end := trace.Start(r.in(ctx), "runtime.task.checkpoint", "id", id)
	defer end()
	// With a path containerd makes no image of it.
	options, err := typeurl.MarshalAnyToProto(&runcoptions.CheckpointOptions{Exit: exit, ImagePath: dir})
	if err != nil {
		return err
	}
	_, err = r.client.TaskService().Checkpoint(ctx, &tasks.CheckpointTaskRequest{ContainerID: id, Options: options})
	return errgrpc.ToNative(err)
}

// restoring is what a shim is told whose container is to go on from a checkpoint.
func restoring(options *anypb.Any, dir string) (*anypb.Any, error) {
	v, err := typeurl.UnmarshalAny(options)
	if err != nil {
		return nil, err
	}
	o, ok := v.(*runcoptions.Options)
	if !ok {
		return nil, fmt.Errorf("options of a shim are %T", v)
	}
	o.CriuImagePath = dir
	return typeurl.MarshalAnyToProto(o)
}
