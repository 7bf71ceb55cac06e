package engine

import (
	"context"
	"fmt"
	"strings"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/request"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// Rename gives a container another name. Conflict: the name is taken.
func (e *Engine) Rename(ctx context.Context, ref, newName string) error {
	u, err := e.units.Find(ref)
	if err != nil {
		return err
	}
	newName = strings.TrimPrefix(strings.TrimSpace(newName), "/")
	if newName == "" {
		return errdefs.ErrInvalidArgument.WithMessage("Neither old nor new names may be empty")
	}
	if err := request.CheckName("/" + newName); err != nil {
		return allocating(err)
	}
	return u.Do(ctx, func(ctx context.Context) error {
		v := u.View()
		old := v.Record.Name
		if v.Status.Gone() {
			return errdefs.ErrNotFound.WithMessage("No such container: " + ref)
		}
		if old == newName {
			return errdefs.ErrInvalidArgument.WithMessage("Renaming a container with the same name as its current name")
		}
		if err := e.units.Reserve(newName, u.ID); err != nil {
			return allocating(err)
		}
		r := *v.Record
		r.Name = newName
		if err := e.writer.Do(func() error {
			b, err := container.Encode(&r, v.Status)
			if err == nil {
				err = e.store.RenameContainer(u.ID, old, newName, b)
			}
			if err == nil {
				u.Publish(&r, v.Status)
			}
			return err
		}); err != nil {
			e.units.Release(newName, u.ID)
			return err
		}
		e.units.Release(old, u.ID)
		e.units.Relink(u, v.Record)
		e.endpoints.Renamed(ctx, u)
		e.events.Publish(u.Event(events.ActionRename, map[string]string{"oldName": "/" + old}))
		return nil
	})
}

// allocating puts Docker's words before what is wrong with a name.
func allocating(err error) error { return fmt.Errorf("Error when allocating new name: %w", err) }
