package build

import (
	"context"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
)

// limited is the frontend that fetches another as an image and executes it, of
// repositories that the daemon's configuration lists.
type limited struct {
	frontend.Frontend
	allowed []string
}

// Solve is the frontend's.
func (l limited) Solve(ctx context.Context, bridge frontend.FrontendLLBBridge, run executor.Executor, opts map[string]string, inputs map[string]*pb.Definition, session string, sm *session.Manager) (*frontend.Result, error) {
	_, own := opts[frontend.KeyDevelDeprecated] // steps of the client's make the frontend
	if !permitted(l.allowed, opts["source"], own) {
		return nil, errdefs.ErrPermissionDenied.WithMessage("the frontend " + opts["source"] + " is not allowed by the daemon's configuration (builder.frontends)." +
			" Without a \"# syntax=\" line the built-in frontend reads the Dockerfile")
	}
	return l.Frontend.Solve(ctx, bridge, run, opts, inputs, session, sm)
}

// permitted says whether a frontend may be executed: one that is an image of a
// repository in the list, or made by the client (own) if any may.
func permitted(allowed []string, source string, own bool) bool {
	if slices.Contains(allowed, "*") {
		return true
	}
	ref, err := reference.ParseNormalizedNamed(source)
	return err == nil && !own && slices.Contains(allowed, ref.Name())
}
