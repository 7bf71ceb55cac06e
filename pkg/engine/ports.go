package engine

import (
	"context"
	"os"
	"syscall"

	"github.com/berth-engine/berth/pkg/engine/checkpoint"
	"github.com/berth-engine/berth/pkg/engine/contents"
	"github.com/berth-engine/berth/pkg/engine/endpoints"
	"github.com/berth-engine/berth/pkg/engine/exec"
	"github.com/berth-engine/berth/pkg/engine/request"
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/berth-engine/berth/pkg/store"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Images finds what containers are made of. The images of package images
// and its catalog do.
type Images interface {
	// Resolve finds a local image by name, digest, ID or ID prefix.
	// NotFound: "No such image: x:latest".
	Resolve(ctx context.Context, ref string, p *ocispec.Platform) (request.Image, error)
	contents.Images
}

// Networks makes sandboxes. *net.Manager satisfies it.
type Networks interface {
	endpoints.Networks // Lookup, Teardown, and changes of what runs
	// Setup makes the sandbox of a container with one endpoint a network and
	// publishes its ports, or leaves nothing. key is the path of the network
	// namespace, "" for the host's. name stands for the container in messages.
	Setup(ctx context.Context, id, name string, endpoints map[string]*network.EndpointSettings, ports network.PortMap) (key string, made map[string]*network.EndpointSettings, bound network.PortMap, err error)
	// Link lets a container reach ports of others, by their IDs, on the default
	// network, and no more those that it was linked to before.
	Link(ctx context.Context, id string, to map[string][]network.Port) error
	// Restore gives what Setup answered for a sandbox that still exists.
	Restore(id string) (key string, made map[string]*network.EndpointSettings, bound network.PortMap, ok bool)
	// HandOver gives the sockets that hold a container's ports to its shim.
	HandOver(ctx context.Context, id string) error
	// Reconcile drops every sandbox whose container is not live.
	Reconcile(ctx context.Context, live []string) error
}

// Volumes makes volumes and mounts. *volumes.Store satisfies it. Each method
// reads what is mounted from the configuration and, for --volumes-from, from.
type Volumes interface {
	volumeLife
	contents.Volumes
	// Mounts makes ready what a starting container mounts; Unmount undoes it.
	Mounts(ctx context.Context, id string, cfg *ctypes.Config, hc *ctypes.HostConfig, from []mount.Mount) ([]specs.Mount, error)
	Unmount(ctx context.Context, id string) error
}

type volumeLife interface {
	request.Volumes
	// Prepare makes a new container's volumes; open gives folders of its root.
	Prepare(ctx context.Context, id string, cfg *ctypes.Config, hc *ctypes.HostConfig, from []mount.Mount, open func(path string) (*os.File, error)) error
	// Born says that a container that Prepare was called for has its record.
	Born(id string) error
	// Doom says that its record is about to go, and its volumes without a name.
	Doom(id string) error
	// Reserve says at boot which volumes a container has.
	Reserve(id string, cfg *ctypes.Config, hc *ctypes.HostConfig, from []mount.Mount, running bool) error
	// Reconcile unmounts what nobody has reserved.
	Reconcile(ctx context.Context) error
	// Release forgets a removed container, and with anonymous its volumes
	// without a name.
	Release(ctx context.Context, id string, anonymous bool) error
}

// Store keeps the records. *store.DB satisfies it.
type Store interface {
	CreateContainer(id, name string, record []byte) error // AlreadyExists: the name is taken
	PutContainers(records map[string][]byte) error        // those that exist
	RenameContainer(id, oldName, newName string, record []byte) error
	DeleteContainer(id string) error
	Containers() ([]store.Container, error)
}

// Publisher takes events. *events.Bus satisfies it.
type Publisher interface{ Publish(events.Message) }

// Tasks runs containers. *runtime.Runtime satisfies it.
type Tasks interface {
	taskControl
	exec.Tasks
	checkpoint.Tasks
	rootfsControl
	// Events never loses an exit silently: a gap ends in a KindResync.
	Events(ctx context.Context) <-chan runtime.Event
	Containers(ctx context.Context) ([]string, error)
	RemoveContainer(ctx context.Context, id string) error
	Tasks(ctx context.Context) ([]runtime.Task, error)
}

type taskControl interface {
	CreateTask(ctx context.Context, c runtime.TaskConfig) error
	StartTask(ctx context.Context, id string) (pid int, err error)
	KillTask(ctx context.Context, id string, sig syscall.Signal) error
	PauseTask(ctx context.Context, id string) error
	ResumeTask(ctx context.Context, id string) error
	DeleteTask(ctx context.Context, id string) (runtime.Exit, error)
	UpdateTask(ctx context.Context, id string, r *specs.LinuxResources) error
	Pids(ctx context.Context, id string) ([]int, error)
}

type rootfsControl interface {
	CreateRootfs(ctx context.Context, id string, parent digest.Digest) error
	RemoveRootfs(ctx context.Context, id string) error // and the views
	// CreateView holds an image that is mounted into a container; n counts from 0.
	CreateView(ctx context.Context, id string, n int, parent digest.Digest) error
	RootfsSize(ctx context.Context, id string) (own, total int64, err error)
	Rootfs(ctx context.Context) ([]string, error)
	contents.Roots
	Snapshotter() string
}
