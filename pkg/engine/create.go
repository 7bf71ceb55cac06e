package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/berth-engine/berth/pkg/engine/bundle"
	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/layout"
	"github.com/berth-engine/berth/pkg/engine/request"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/trace"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// Create records a container and makes its root filesystem. InvalidArgument for
// what is malformed, NotFound for an unknown image or network, Conflict for a
// name that is taken.
func (e *Engine) Create(ctx context.Context, q CreateRequest) (ctypes.CreateResponse, error) {
	ctx, end := trace.Start(ctx, "create")
	defer end()
	r, warnings, err := e.creator.plan.Record(ctx, q)
	if err != nil {
		return ctypes.CreateResponse{}, err
	}
	if err := e.creator.make(ctx, r); err != nil {
		return ctypes.CreateResponse{}, err
	}
	return ctypes.CreateResponse{ID: r.ID, Warnings: warnings}, nil
}

// creator turns records into containers.
type creator struct {
	layout.Layout
	plan    *request.Plan
	units   *unit.Registry
	tasks   rootfsControl
	volumes volumeLife
	store   Store
	bundler *bundle.Bundler
	events  Publisher
	log     *slog.Logger
	fault   func(name string)
}

// make acquires what a container has: its name, its folder, its root file
// system, its record. The record comes last: before it, a crash leaves only
// what recovery sweeps.
func (c *creator) make(ctx context.Context, r *container.Record) (err error) {
	var undo undoStack
	defer func() {
		if err != nil {
			undo.run(ctx, c.log)
		}
	}()
	undo.push("name", func(context.Context) error { c.units.Release(r.Name, r.ID); return nil })
	if err := c.name(r); err != nil {
		return err
	}
	undo.push("folder", func(context.Context) error { return os.RemoveAll(c.Dir(r.ID)) })
	if err := os.Mkdir(c.Dir(r.ID), 0o710); err != nil {
		return fmt.Errorf("container %s: %w", r.ID, err)
	}
	undo.push("root filesystem", func(ctx context.Context) error { return c.tasks.RemoveRootfs(ctx, r.ID) })
	if err := c.tasks.CreateRootfs(ctx, r.ID, r.Chain); err != nil {
		return fmt.Errorf("container %s: root filesystem: %w", r.ID, err)
	}
	for n, img := range r.Images { // undone with the root filesystem
		if err := c.tasks.CreateView(ctx, r.ID, n, img.Chain); err != nil {
			return fmt.Errorf("container %s: mounted image %s: %w", r.ID, img.Image, err)
		}
	}
	undo.push("volumes", func(ctx context.Context) error { return c.volumes.Release(ctx, r.ID, true) })
	if err := c.prepareVolumes(ctx, r); err != nil {
		return err
	}
	c.fault("create.rootfs")
	u := unit.New(r, container.Status{State: container.Created})
	b, err := container.Encode(r, u.Status())
	if err == nil {
		err = c.store.CreateContainer(r.ID, r.Name, b)
	}
	if err != nil {
		u.Close(err)
		return fmt.Errorf("container %s: %w", r.ID, err)
	}
	c.fault("create.record")
	if err := c.volumes.Born(r.ID); err != nil {
		c.log.Error("note of a container's volumes could not be dropped; the next start of berthd does", "container", r.ID, "error", err)
	}
	c.units.Add(u)
	c.events.Publish(u.Event(events.ActionCreate, nil))
	return nil
}

// name reserves the name that was asked for, or a random one that is free.
func (c *creator) name(r *container.Record) error {
	if r.Name != "" {
		return c.units.Reserve(r.Name, r.ID)
	}
	for attempt := 0; ; attempt++ {
		r.Name = request.RandomName(attempt)
		err := c.units.Reserve(r.Name, r.ID)
		if err == nil || attempt == 20 {
			return err
		}
	}
}

// prepareVolumes makes the volumes of a new container and fills empty ones with
// what its image has there.
func (c *creator) prepareVolumes(ctx context.Context, r *container.Record) error {
	view := c.bundler.Rootfs(ctx, r.ID)
	defer view.Close()
	return c.volumes.Prepare(ctx, r.ID, r.Config, r.HostConfig, r.Shared, view.OpenDir)
}
