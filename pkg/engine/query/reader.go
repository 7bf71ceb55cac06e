package query

import (
	"context"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/layout"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

// Reader answers questions about the containers of a registry. Every field is
// required.
type Reader struct {
	layout.Layout
	Units *unit.Registry
	Execs func(id string) []string // of a container
	// Size is that of a container's own layer, and of all of its root.
	Size  func(ctx context.Context, id string) (own, total int64, err error)
	Image func(ctx context.Context, ref string) (id string, err error)
}

// Counts says how many containers are running (waiting to be restarted is
// running, too), paused and stopped.
func (r *Reader) Counts() (running, paused, stopped int) {
	for _, u := range r.Units.All() {
		switch s := u.View().Status; {
		case s.State == container.Paused:
			paused++
		case s.Active():
			running++
		default:
			stopped++
		}
	}
	return running, paused, stopped
}

// ImageUsers names the containers that were made of an image or have it mounted.
func (r *Reader) ImageUsers(imageID string) (running, stopped []string) {
	for _, u := range r.Units.All() {
		v := u.View()
		switch {
		case !v.Record.Uses(imageID):
		case v.Status.Active():
			running = append(running, v.Record.ID)
		default:
			stopped = append(stopped, v.Record.ID)
		}
	}
	return running, stopped
}

// List tells about containers, newest first, from memory; sizes, which are asked
// for separately, are measured.
func (r *Reader) List(ctx context.Context, o ListOptions) ([]ctypes.Summary, error) {
	var views []*unit.View
	for _, u := range r.Units.All() {
		views = append(views, u.View())
	}
	list, err := List(ctx, views, o, Known{
		Container: r.Units.Find,
		Image:     r.Image,
	})
	if err != nil || !o.Size {
		return list, err
	}
	for i := range list {
		c := &list[i]
		// One that was removed meanwhile has none.
		if c.SizeRw, c.SizeRootFs, err = r.Size(ctx, c.ID); err != nil && !errdefs.IsNotFound(err) {
			return nil, err
		}
	}
	return list, nil
}

// Inspect tells everything about a container, from memory; its size, when asked
// for, is measured.
func (r *Reader) Inspect(ctx context.Context, ref string, size bool) (ctypes.InspectResponse, error) {
	u, err := r.Units.Find(ref)
	if err != nil {
		return ctypes.InspectResponse{}, err
	}
	v := u.View()
	answer := Inspect(v, Paths{Dir: r.Dir(r.Units.Named(v.Record).ID), Log: r.LogPath(v.Record)}, r.Execs(u.ID), r.links(v.Record))
	if size {
		own, total, err := r.Size(ctx, u.ID)
		if err != nil {
			return ctypes.InspectResponse{}, err
		}
		answer.SizeRw, answer.SizeRootFs = &own, &total
	}
	return answer, nil
}

// links are a container's, as "/name:/parent/alias"; nil is none.
func (r *Reader) links(record *container.Record) (out []string) {
	for _, l := range record.Links {
		if child := r.Units.Get(l.ID); child != nil {
			out = append(out, "/"+child.View().Record.Name+":"+l.Full(record.Name))
		}
	}
	return out
}
