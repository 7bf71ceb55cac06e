// Package classic builds for clients of Docker's first builder (POST /build): they
// send a tar archive and read a stream of JSON with "Step 1/2 : FROM …" in it. The
// solver is BuildKit; this package asks it, and tells what it does in the old
// words and the old order: steps run side by side and are shown one after the
// other. Stages that the target does not need are neither built nor shown.
//
// It also serves what docker CLI 20.10 to 22 did before it had buildx: BuildKit
// through the same endpoint, with a session of its own (version=2).
package classic

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/errdefs"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
)

// BuildKit gives a client of the running BuildKit. *build.Builder satisfies it.
type BuildKit interface {
	Client(ctx context.Context) (*bkclient.Client, error)
}

// Request is a build as the endpoint's parameters have it.
type Request struct {
	Version2   bool   // BuildKit's own progress, and Session has the files if there is one
	Session    string // of the client; only with Version2
	ID         string // by which Cancel knows it
	Remote     string // git repository or address of an archive or Dockerfile
	Dockerfile string // in the context; "" is Dockerfile

	Tags, ExtraHosts, CacheFrom []string
	BuildArgs                   map[string]*string // nil: without a value
	Labels                      map[string]string
	Target, Platform            string
	Outputs                     []Output

	Quiet, NoCache, Pull  bool
	Network, CgroupParent string
	Ulimits               []*container.Ulimit
	ShmSize               int64 // bytes
	Limits                Limits
	Auth                  map[string]registry.AuthConfig // by registry
}

// Limits bound each step; 0 and "" is none. Sizes are bytes.
type Limits struct {
	Memory, MemorySwap             int64
	CPUShares, CPUPeriod, CPUQuota int64
	CPUs, Mems                     string
}

// Output is an exporter and its attributes.
type Output struct {
	Type  string
	Attrs map[string]string
}

// Send takes one message of the answer.
type Send func(jsonstream.Message) error

// Builds are the builds of these clients.
type Builds struct {
	kit     BuildKit
	most    int64
	mu      sync.Mutex                    // guards running
	running map[string]context.CancelFunc // by Request.ID
}

// New makes one that takes contexts of at most that many bytes.
func New(kit BuildKit, most int64) *Builds {
	return &Builds{kit: kit, most: most, running: map[string]context.CancelFunc{}}
}

// Build builds. body is an archive of the context, unless the request says where
// else it comes from. InvalidArgument for a request or Dockerfile that is wrong;
// an error after the first message is one of the build itself.
func (b *Builds) Build(ctx context.Context, r Request, body io.Reader, send Send) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.ID != "" {
		if err := b.register(r.ID, cancel); err != nil {
			return err
		}
		defer b.forget(r.ID)
	}
	client, err := b.kit.Client(ctx)
	if err != nil {
		return err
	}
	body = Bound(body, b.most)
	if r.Version2 {
		return traced(ctx, client, r, body, send)
	}
	return old(ctx, client, r, body, send)
}

// Cancel ends a build that gave that ID. Nobody having it is no error.
func (b *Builds) Cancel(id string) error {
	if id == "" {
		return errdefs.ErrInvalidArgument.WithMessage("build ID not provided")
	}
	b.mu.Lock()
	cancel := b.running[id]
	b.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	return nil
}

func (b *Builds) register(id string, cancel context.CancelFunc) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running[id] != nil {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("a build with ID %s is under way", id))
	}
	b.running[id] = cancel
	return nil
}

func (b *Builds) forget(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.running, id)
}

// Bound makes a reader of a context that fails, instead of ending, after that many bytes:
// InvalidArgument.
func Bound(r io.Reader, most int64) io.Reader { return &bounded{r: r, most: most, left: most} }

type bounded struct {
	r          io.Reader
	most, left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the build context is larger than %d bytes", b.most))
	}
	return n, err
}
