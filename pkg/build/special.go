package build

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/frontend"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/snapshot"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/solver/result"
	"github.com/moby/buildkit/worker"
	"google.golang.org/grpc"

	rootpath "github.com/containerd/continuity/fs"
)

// BuildKit opens some files of images and contexts before it looks whether they are
// regular: a FIFO holds it, and all that the build has, for ever, and a device does what
// devices do when they are opened. So these are looked at first.

// special is what a file must not be.
const special = fs.ModeNamedPipe | fs.ModeDevice

func notRegular(name string) error {
	return errdefs.ErrInvalidArgument.WithMessage(name + " is not a regular file")
}

// checkUsers looks at the files, below a root, that users and groups are looked up in.
func checkUsers(root string) error {
	for _, name := range []string{"/etc/passwd", "/etc/group"} {
		if err := checkFile(root, name); err != nil {
			return err
		}
	}
	return nil
}

// checkUsersOf mounts what it looks at.
func checkUsersOf(m snapshot.Mounter) error { return look(m, checkUsers) }

func look(m snapshot.Mounter, check func(root string) error) (err error) {
	dir, err := m.Mount()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Unmount()) }()
	return check(dir)
}

// lookAt is for what a build made.
func lookAt(ctx context.Context, ref cache.ImmutableRef, g session.Group, check func(root string) error) error {
	m, err := ref.Mount(ctx, true, g)
	if err != nil {
		return err
	}
	return look(snapshot.LocalMounter(m), check)
}

// checkFile looks at one, as seen by who has root as its own. One that is not there is
// what its reader complains of.
func checkFile(root, name string) error {
	path, err := rootpath.RootPath(root, name)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&special != 0 {
		return notRegular(name)
	}
	return nil
}

// careful looks at the files of users before a step whose user is looked up.
type careful struct{ executor.Executor }

// Run is the executor's.
func (c careful) Run(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, started chan<- struct{}) (types.Recorder, error) {
	if _, _, err := oci.ParseUIDGID(process.Meta.User); err != nil || process.Meta.User == "" {
		root.Src = carefulRoot{root.Src}
	}
	return c.Executor.Run(ctx, id, root, mounts, process, started)
}

type carefulRoot struct{ executor.Mountable }

// Mount is the root's.
func (c carefulRoot) Mount(ctx context.Context, readonly bool) (executor.MountableRef, error) {
	ref, err := c.Mountable.Mount(ctx, readonly)
	if err != nil {
		return nil, err
	}
	return carefulRef{ref}, nil
}

type carefulRef struct{ executor.MountableRef }

// Mount is the root's, looked at.
func (c carefulRef) Mount() ([]mount.Mount, func() error, error) {
	mounts, release, err := c.MountableRef.Mount()
	if err != nil {
		return nil, nil, err
	}
	if err := checkUsersOf(snapshot.LocalMounterWithMounts(mounts)); err != nil {
		if release != nil {
			err = errors.Join(err, release())
		}
		return nil, nil, err
	}
	return mounts, release, nil
}

// ResolveOp has a copy to an owner by name look at the files of users, too, and who builds
// what a file says at that file.
func (w *Worker) ResolveOp(v solver.Vertex, bridge frontend.FrontendLLBBridge, sm *session.Manager, proxy worker.ProxyOpt) (solver.Op, error) {
	op, err := w.Worker.ResolveOp(v, bridge, sm, proxy)
	if base, ok := v.Sys().(*pb.Op); ok && err == nil {
		if from := lookedUp(base.GetFile()); len(from) > 0 {
			return carefulFile{op, from}, nil
		}
		if base.GetBuild() != nil {
			return carefulBuild{op, base.GetBuild()}, nil
		}
	}
	return op, err
}

// lookedUp are the inputs in which owners are looked up by name.
func lookedUp(op *pb.FileOp) map[int64]bool {
	from := map[int64]bool{}
	for _, a := range op.GetActions() {
		for _, o := range []*pb.ChownOpt{a.GetCopy().GetOwner(), a.GetMkfile().GetOwner(), a.GetMkdir().GetOwner()} {
			for _, u := range []*pb.UserOpt{o.GetUser(), o.GetGroup()} {
				if name := u.GetByName(); name != nil {
					from[name.GetInput()] = true
				}
			}
		}
	}
	return from
}

type carefulFile struct {
	solver.Op
	from map[int64]bool
}

// Exec is the operation's.
func (c carefulFile) Exec(ctx context.Context, job solver.JobContext, inputs []solver.Result) ([]solver.Result, error) {
	for i, input := range inputs {
		ref, ok := input.Sys().(*worker.WorkerRef)
		if !c.from[int64(i)] || !ok || ref.ImmutableRef == nil {
			continue
		}
		if err := lookAt(ctx, ref.ImmutableRef, job.Session(), checkUsers); err != nil {
			return nil, err
		}
	}
	return c.Op.Exec(ctx, job, inputs)
}

// carefulBuild looks at the file that says what is built.
type carefulBuild struct {
	solver.Op
	op *pb.BuildOp
}

// Exec is the operation's.
func (c carefulBuild) Exec(ctx context.Context, job solver.JobContext, inputs []solver.Result) ([]solver.Result, error) {
	name := pb.LLBDefaultDefinitionFile
	if other, ok := c.op.Attrs[pb.AttrLLBDefinitionFilename]; ok {
		name = other
	}
	// The operation itself says what is wrong with its inputs.
	if in := c.op.Inputs[pb.LLBDefinitionInput]; in != nil && in.Input >= 0 && in.Input < int64(len(inputs)) {
		if ref, ok := inputs[in.Input].Sys().(*worker.WorkerRef); ok && ref.ImmutableRef != nil {
			err := lookAt(ctx, ref.ImmutableRef, job.Session(), func(root string) error { return checkFile(root, name) })
			if err != nil {
				return nil, err
			}
		}
	}
	return c.Op.Exec(ctx, job, inputs)
}

// carefully has a frontend read regular files alone.
func carefully(build gateway.BuildFunc) gateway.BuildFunc {
	return func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		res, err := build(ctx, carefulClient{c})
		if err != nil {
			return nil, err
		}
		return result.ConvertResult(res, func(r gateway.Reference) (gateway.Reference, error) {
			if own, ok := r.(carefulReference); ok {
				return own.Reference, nil
			}
			return r, nil
		})
	}
}

type carefulClient struct{ gateway.Client }

// Solve is the client's.
func (c carefulClient) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	res, err := c.Client.Solve(ctx, req)
	if err != nil {
		return nil, err
	}
	return result.ConvertResult(res, func(r gateway.Reference) (gateway.Reference, error) { return carefulReference{r}, nil })
}

type carefulReference struct{ gateway.Reference }

// ReadFile is the reference's.
func (r carefulReference) ReadFile(ctx context.Context, req gateway.ReadRequest) ([]byte, error) {
	if st, err := r.StatFile(ctx, gateway.StatRequest{Path: req.Filename}); err == nil && fs.FileMode(st.Mode)&special != 0 {
		return nil, notRegular(req.Filename)
	}
	return r.Reference.ReadFile(ctx, req)
}

// readCarefully is an interceptor for clients that read files by the control API.
func readCarefully(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	read, ok := req.(*gatewayapi.ReadFileRequest)
	bridge, own := info.Server.(gatewayapi.LLBBridgeServer)
	if ok && own {
		stat := bridge.StatFile
		if strings.HasSuffix(info.FullMethod, "/ReadFileContainer") {
			stat = bridge.StatFileContainer
		}
		resp, err := stat(ctx, &gatewayapi.StatFileRequest{Ref: read.Ref, Path: read.FilePath, MountIndex: read.MountIndex})
		if err == nil && fs.FileMode(resp.GetStat().GetMode())&special != 0 {
			return nil, notRegular(read.FilePath)
		}
	}
	return handler(ctx, req)
}
