package build

import (
	"context"

	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
)

// refused stands where frontends would be fetched as images and executed.
type refused struct{}

func (refused) Solve(_ context.Context, _ frontend.FrontendLLBBridge, _ executor.Executor, opts map[string]string, _ map[string]*pb.Definition, _ string, _ *session.Manager) (*frontend.Result, error) {
	return nil, errdefs.ErrPermissionDenied.WithMessage("frontend image " + opts["source"] +
		" is not allowed by the daemon's configuration (builder.frontends): remove the \"# syntax=\" line, the builtin Dockerfile frontend is as new")
}
