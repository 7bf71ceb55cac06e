package engine

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/logs"
	"github.com/berth-engine/berth/pkg/trace"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Create records a container and makes its root filesystem. InvalidArgument for
// what is malformed, NotFound for an unknown image or network, Conflict for a
// name that is taken.
func (e *Engine) Create(ctx context.Context, q CreateRequest) (ctypes.CreateResponse, error) {
	ctx, end := trace.Start(ctx, "create")
	defer end()
	r, warnings, err := e.newRecord(ctx, q)
	if err != nil {
		return ctypes.CreateResponse{}, err
	}
	if err := e.make(ctx, r); err != nil {
		return ctypes.CreateResponse{}, err
	}
	return ctypes.CreateResponse{ID: r.ID, Warnings: warnings}, nil
}

// newRecord checks and completes what was asked for. It changes nothing.
func (e *Engine) newRecord(ctx context.Context, q CreateRequest) (*container.Record, []string, error) {
	if q.Config == nil {
		return nil, nil, errdefs.ErrInvalidArgument.WithMessage("config cannot be empty in order to create a container")
	}
	if q.Name != "" {
		if err := checkName(q.Name); err != nil {
			return nil, nil, err
		}
	}
	hc := q.HostConfig
	if hc == nil {
		hc = &ctypes.HostConfig{}
	}
	e.defaults(hc)
	imageID, chain, img, err := e.Images.Resolve(ctx, q.Config.Image, q.Platform)
	if err != nil {
		return nil, nil, err
	}
	if err := spec.Merge(q.Config, &img.Config); err != nil {
		return nil, nil, err
	}
	warnings, err := spec.Validate(q.Config, hc, e.Host)
	if err != nil {
		return nil, nil, err
	}
	if !slices.Contains(e.Runtimes, hc.Runtime) {
		return nil, nil, errdefs.ErrInvalidArgument.WithMessage("unknown or invalid runtime name: " + hc.Runtime)
	}
	if err := logs.Validate(hc.LogConfig.Type, hc.LogConfig.Config); err != nil {
		return nil, nil, err
	}
	r := &container.Record{
		ID: newID(), Name: strings.TrimPrefix(q.Name, "/"), Created: time.Now().UTC(),
		Image: imageID, Chain: chain, Driver: e.Tasks.Snapshotter(),
		Platform: platforms.Normalize(ocispec.Platform{OS: img.OS, Architecture: img.Architecture, Variant: img.Variant}),
		Config:   q.Config, HostConfig: hc,
	}
	if r.Path, r.Args, err = command(q.Config); err != nil {
		return nil, nil, err
	}
	if err := e.planMounts(r); err != nil {
		return nil, nil, err
	}
	if r.Endpoints, err = e.wantedNetworks(hc, q.NetworkingConfig); err != nil {
		return nil, nil, err
	}
	if _, err := wantedPorts(r); err != nil {
		return nil, nil, err
	}
	if q.Config.Hostname == "" && !hc.UTSMode.IsHost() {
		q.Config.Hostname = r.ID[:12]
	}
	return r, warnings, nil
}

// defaults fills in what the daemon's configuration says for everybody.
func (e *Engine) defaults(hc *ctypes.HostConfig) {
	if hc.LogConfig.Type == "" {
		hc.LogConfig.Type = e.LogConfig.Type
		if hc.LogConfig.Config == nil {
			hc.LogConfig.Config = e.LogConfig.Config
		}
	}
	if hc.Runtime == "" {
		hc.Runtime = e.Runtime
	}
	if hc.NetworkMode == "" || hc.NetworkMode.IsDefault() {
		hc.NetworkMode = network.NetworkBridge
	}
	if hc.Init == nil && e.UseInit {
		hc.Init = &e.UseInit
	}
	if hc.RestartPolicy.Name == "" {
		hc.RestartPolicy.Name = ctypes.RestartPolicyDisabled
	}
}

// make acquires what a container has: its name, its folder, its root file
// system, its record. The record comes last: before it, a crash leaves only
// what recovery sweeps.
func (e *Engine) make(ctx context.Context, r *container.Record) (err error) {
	var undo undoStack
	defer func() {
		if err != nil {
			undo.run(ctx, e.Logger)
		}
	}()
	undo.push("name", func(context.Context) error { e.units.release(r.Name, r.ID); return nil })
	if err := e.name(r); err != nil {
		return err
	}
	undo.push("folder", func(context.Context) error { return os.RemoveAll(e.dir(r.ID)) })
	if err := os.Mkdir(e.dir(r.ID), 0o710); err != nil {
		return fmt.Errorf("container %s: %w", r.ID, err)
	}
	undo.push("root filesystem", func(ctx context.Context) error { return e.Tasks.RemoveRootfs(ctx, r.ID) })
	if err := e.Tasks.CreateRootfs(ctx, r.ID, r.Chain); err != nil {
		return fmt.Errorf("container %s: root filesystem: %w", r.ID, err)
	}
	undo.push("volumes", func(ctx context.Context) error { return e.Volumes.Release(ctx, r.ID, true) })
	if err := e.prepareVolumes(ctx, r); err != nil {
		return err
	}
	e.FaultPoint("create.rootfs")
	u := newUnit(r, container.Status{State: container.Created})
	b, err := container.Encode(r, u.status())
	if err == nil {
		err = e.Store.CreateContainer(r.ID, r.Name, b)
	}
	if err != nil {
		u.owner.Close(err)
		return fmt.Errorf("container %s: %w", r.ID, err)
	}
	e.FaultPoint("create.record")
	e.units.add(u)
	e.publish(u, events.ActionCreate, nil)
	return nil
}

// name reserves the name that was asked for, or a random one that is free.
func (e *Engine) name(r *container.Record) error {
	if r.Name != "" {
		return e.units.reserve(r.Name, r.ID)
	}
	for attempt := 0; ; attempt++ {
		r.Name = randomName(attempt)
		err := e.units.reserve(r.Name, r.ID)
		if err == nil || attempt == 20 {
			return err
		}
	}
}

// command is what will run, entry point first. InvalidArgument: nothing.
func command(c *ctypes.Config) (path string, args []string, err error) {
	all := append(append([]string{}, c.Entrypoint...), c.Cmd...)
	if len(all) == 0 || all[0] == "" && len(all) == 1 {
		return "", nil, errdefs.ErrInvalidArgument.WithMessage("no command specified")
	}
	return all[0], all[1:], nil
}

// newID gives 64 hexadecimal digits. Its first 12 are never all decimal: such a
// short ID could not be told from a number, and host names made of it are
// refused by some resolvers.
func newID() string {
	var b [32]byte
	for {
		rand.Read(b[:]) // never fails (crypto/rand)
		id := hex.EncodeToString(b[:])
		if strings.ContainsAny(id[:12], "abcdef") {
			return id
		}
	}
}
