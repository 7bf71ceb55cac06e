package engine

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/engine/unit"
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
	r, warnings, err := e.creator.record(ctx, q)
	if err != nil {
		return ctypes.CreateResponse{}, err
	}
	if err := e.creator.make(ctx, r); err != nil {
		return ctypes.CreateResponse{}, err
	}
	return ctypes.CreateResponse{ID: r.ID, Warnings: warnings}, nil
}

// creator turns requests into records, and records into containers. Of the
// configuration it needs nearly everything.
type creator struct {
	Config
	layout
	units   *unit.Registry
	bundler *bundler
}

// record checks and completes what was asked for. It changes nothing.
func (c *creator) record(ctx context.Context, q CreateRequest) (*container.Record, []string, error) {
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
	c.defaults(hc)
	imageID, chain, img, err := c.Images.Resolve(ctx, q.Config.Image, q.Platform)
	if err != nil {
		return nil, nil, err
	}
	if err := spec.Merge(q.Config, &img.Config); err != nil {
		return nil, nil, err
	}
	warnings, err := spec.Validate(q.Config, hc, c.Host)
	if err != nil {
		return nil, nil, err
	}
	if h := q.Config.Healthcheck; h != nil && len(h.Test) > 0 && h.Test[0] != "NONE" {
		warnings = append(warnings, "Health checks are not run yet: this container will have no health.")
	}
	if err := c.supported(hc); err != nil {
		return nil, nil, err
	}
	r := &container.Record{
		ID: container.NewID(), Name: strings.TrimPrefix(q.Name, "/"), Created: time.Now().UTC(),
		Image: imageID, Chain: chain, Driver: c.Tasks.Snapshotter(),
		Platform: platforms.Normalize(ocispec.Platform{OS: img.OS, Architecture: img.Architecture, Variant: img.Variant}),
		Config:   q.Config, HostConfig: hc,
	}
	if r.Path, r.Args, err = command(q.Config); err != nil {
		return nil, nil, err
	}
	if _, err := logAttrs(r); err != nil {
		return nil, nil, err
	}
	if err := c.planMounts(r); err != nil {
		return nil, nil, err
	}
	if r.Endpoints, err = c.wantedNetworks(hc, q.NetworkingConfig); err != nil {
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

// supported refuses what depends on this daemon: its runtimes and log drivers, and
// what it cannot do yet.
func (c *creator) supported(hc *ctypes.HostConfig) error {
	if len(hc.Links) > 0 {
		return errdefs.ErrNotImplemented.WithMessage("links between containers (HostConfig.Links) are not implemented yet")
	}
	if !slices.Contains(c.Runtimes, hc.Runtime) {
		return errdefs.ErrInvalidArgument.WithMessage("unknown or invalid runtime name: " + hc.Runtime)
	}
	return logs.Validate(hc.LogConfig.Type, hc.LogConfig.Config)
}

// defaults fills in what the daemon's configuration says for everybody.
func (c *creator) defaults(hc *ctypes.HostConfig) {
	if hc.LogConfig.Type == "" {
		hc.LogConfig.Type = c.LogConfig.Type
		if hc.LogConfig.Config == nil {
			hc.LogConfig.Config = c.LogConfig.Config
		}
	}
	if hc.Runtime == "" {
		hc.Runtime = c.Runtime
	}
	if hc.NetworkMode == "" || hc.NetworkMode.IsDefault() {
		hc.NetworkMode = network.NetworkBridge
	}
	if hc.Init == nil && c.UseInit {
		hc.Init = &c.UseInit
	}
	if hc.RestartPolicy.Name == "" {
		hc.RestartPolicy.Name = ctypes.RestartPolicyDisabled
	}
}

// make acquires what a container has: its name, its folder, its root file
// system, its record. The record comes last: before it, a crash leaves only
// what recovery sweeps.
func (c *creator) make(ctx context.Context, r *container.Record) (err error) {
	var undo undoStack
	defer func() {
		if err != nil {
			undo.run(ctx, c.Logger)
		}
	}()
	undo.push("name", func(context.Context) error { c.units.Release(r.Name, r.ID); return nil })
	if err := c.name(r); err != nil {
		return err
	}
	undo.push("folder", func(context.Context) error { return os.RemoveAll(c.dir(r.ID)) })
	if err := os.Mkdir(c.dir(r.ID), 0o710); err != nil {
		return fmt.Errorf("container %s: %w", r.ID, err)
	}
	undo.push("root filesystem", func(ctx context.Context) error { return c.Tasks.RemoveRootfs(ctx, r.ID) })
	if err := c.Tasks.CreateRootfs(ctx, r.ID, r.Chain); err != nil {
		return fmt.Errorf("container %s: root filesystem: %w", r.ID, err)
	}
	undo.push("volumes", func(ctx context.Context) error { return c.Volumes.Release(ctx, r.ID, true) })
	if err := c.prepareVolumes(ctx, r); err != nil {
		return err
	}
	c.FaultPoint("create.rootfs")
	u := unit.New(r, container.Status{State: container.Created})
	b, err := container.Encode(r, u.Status())
	if err == nil {
		err = c.Store.CreateContainer(r.ID, r.Name, b)
	}
	if err != nil {
		u.Close(err)
		return fmt.Errorf("container %s: %w", r.ID, err)
	}
	c.FaultPoint("create.record")
	c.units.Add(u)
	c.Events.Publish(u.Event(events.ActionCreate, nil))
	return nil
}

// name reserves the name that was asked for, or a random one that is free.
func (c *creator) name(r *container.Record) error {
	if r.Name != "" {
		return c.units.Reserve(r.Name, r.ID)
	}
	for attempt := 0; ; attempt++ {
		r.Name = randomName(attempt)
		err := c.units.Reserve(r.Name, r.ID)
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
