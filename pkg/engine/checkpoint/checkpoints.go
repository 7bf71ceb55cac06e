// Package checkpoint keeps what processes of containers are, so that they can go on
// from there later: images that CRIU makes through the OCI runtime, a folder each,
// in the container's own folder or in one that the user names. They are on disk
// only, and go with the container's folder.
package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/berth-engine/berth/pkg/engine/layout"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/checkpoint"
	"github.com/moby/moby/api/types/events"
)

// Checkpoints makes, lists and removes them, and has containers go on from them.
type Checkpoints struct {
	layout.Layout
	Units *unit.Registry
	Tasks Tasks
	// Start starts a container from the images in a folder; by its owner only.
	Start  func(ctx context.Context, u *unit.Unit, images string) error
	Events interface{ Publish(events.Message) }
}

// Tasks dumps processes. exit ends them once they are dumped.
type Tasks interface {
	CheckpointTask(ctx context.Context, id, dir string, exit bool) error
}

// Create dumps a running container. Conflict: it does not run; no class: CRIU
// could not, which then has left the container as it was, and no checkpoint.
func (c *Checkpoints) Create(ctx context.Context, ref string, r checkpoint.CreateRequest) error {
	if err := checkID(r.CheckpointID); err != nil {
		return err
	}
	u, err := c.Units.Find(ref)
	if err != nil {
		return err
	}
	var ended <-chan struct{}
	if err := u.Do(ctx, func(ctx context.Context) error {
		ended = u.View().Ended
		return c.dump(ctx, u, ref, r)
	}); err != nil {
		return err
	}
	if !r.Exit {
		return nil
	}
	// The answer says that it can be started again.
	_, err = u.Until(ctx, func(v *unit.View) bool { return v.Ended != ended })
	return err
}

func (c *Checkpoints) dump(ctx context.Context, u *unit.Unit, ref string, r checkpoint.CreateRequest) error {
	if !u.Status().Live() {
		return errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", u.ID))
	}
	if u.View().Record.Config.Tty {
		return errdefs.ErrInternal.WithMessage("checkpoint not support on containers with tty")
	}
	images := filepath.Join(c.folder(u.ID, r.CheckpointDir), r.CheckpointID)
	if err := vacant(images, ref); err != nil {
		return fmt.Errorf("cannot checkpoint container %s: %w", ref, err)
	}
	err := os.MkdirAll(images, 0o700)
	if err == nil {
		err = c.Tasks.CheckpointTask(ctx, u.ID, images, r.Exit)
	}
	if err != nil {
		return errdefs.ErrInternal.WithMessage(fmt.Sprintf("Cannot checkpoint container %s: %v", ref, errors.Join(err, os.RemoveAll(images))))
	}
	c.Events.Publish(u.Event(events.ActionCheckpoint, nil))
	return nil
}

// vacant fails when there is a checkpoint. What is left of one that was cut off is
// removed.
func vacant(images, ref string) error {
	info, err := os.Stat(images)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s exists and is not a directory", images)
	case complete(images):
		return fmt.Errorf("checkpoint with name %s already exists for container %s", filepath.Base(images), ref)
	}
	return os.RemoveAll(images)
}

// complete says whether a folder holds a checkpoint that was finished: its
// inventory is the last that CRIU writes before it ends the processes or lets them
// go on (criu/cr-dump.c, cr_dump_tasks).
func complete(images string) bool {
	_, err := os.Stat(filepath.Join(images, "inventory.img"))
	return err == nil
}

// List names a container's checkpoints, sorted. NotFound: dir, when one is given.
func (c *Checkpoints) List(_ context.Context, ref, dir string) ([]checkpoint.Summary, error) {
	u, err := c.Units.Find(ref)
	if err != nil {
		return nil, err
	}
	folder := c.folder(u.ID, dir)
	all, err := os.ReadDir(folder)
	switch {
	case errors.Is(err, os.ErrNotExist) && dir == "":
		return nil, nil
	case errors.Is(err, os.ErrNotExist):
		return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("checkpoint directory %q does not exist for container %s", folder, ref))
	case err != nil:
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("checkpoint directory %q: %v", folder, err))
	}
	var out []checkpoint.Summary
	for _, e := range all {
		if e.IsDir() && complete(filepath.Join(folder, e.Name())) {
			out = append(out, checkpoint.Summary{Name: e.Name()})
		}
	}
	return out, nil
}

// Remove deletes a checkpoint.
func (c *Checkpoints) Remove(ctx context.Context, ref, dir, id string) error {
	return c.with(ctx, ref, dir, id, func(_ context.Context, _ *unit.Unit, images string) error {
		return os.RemoveAll(images)
	})
}

// Restore starts a container where a checkpoint found its processes.
func (c *Checkpoints) Restore(ctx context.Context, ref, dir, id string) error {
	return c.with(ctx, ref, dir, id, c.Start)
}

// with calls f, by the container's owner, with the folder of a checkpoint that is there.
func (c *Checkpoints) with(ctx context.Context, ref, dir, id string, f func(ctx context.Context, u *unit.Unit, images string) error) error {
	if err := checkID(id); err != nil {
		return err
	}
	u, err := c.Units.Find(ref)
	if err != nil {
		return err
	}
	return u.Do(ctx, func(ctx context.Context) error {
		images := filepath.Join(c.folder(u.ID, dir), id)
		if info, err := os.Stat(images); err != nil || info.IsDir() && !complete(images) {
			return fmt.Errorf("checkpoint %s does not exist for container %s", id, ref)
		} else if !info.IsDir() {
			return fmt.Errorf("%s exists and is not a directory", images)
		}
		return f(ctx, u, images)
	})
}

func (c *Checkpoints) folder(id, dir string) string {
	if dir == "" {
		return filepath.Join(c.Dir(id), "checkpoints")
	}
	return dir
}

// validID is Docker's rule for names (moby's daemon/names).
var validID = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

func checkID(id string) error {
	if !validID.MatchString(id) || strings.HasSuffix(id, ".") {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid checkpoint ID %q, only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", id))
	}
	return nil
}
