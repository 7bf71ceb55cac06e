package contents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/instructions"
	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is an image that is to be made of a container.
type Image struct {
	Parent    string // ID
	Platform  ocispec.Platform
	Layer     io.Reader // tar with whiteouts
	Config    dockerspec.DockerOCIImageConfig
	Author    string
	Comment   string
	CreatedBy string
	Name      string // "repo:tag"; "" for none
}

// Images makes images; nothing is left after an error.
type Images interface {
	Commit(ctx context.Context, i Image) (id string, err error)
}

// CommitOptions are those of POST /commit.
type CommitOptions struct {
	Name            string // "repo:tag"; "" for none
	Author, Comment string
	Changes         []string // Dockerfile instructions
	Pause           bool
	Config          *ctypes.Config // over the container's; nil is none
}

// present refuses, in Docker's words, what a verb cannot take any more. Conflict.
func present(u *unit.Unit, verb string) error {
	var is string
	switch u.Status().State {
	case container.Dead:
		is = "Dead"
	case container.Removing:
		is = "being removed"
	default:
		return nil
	}
	return errdefs.ErrConflict.WithMessage(fmt.Sprintf("You cannot %s container %s which is %s", verb, u.ID, is))
}

// Commit makes an image of what a container changed, and returns its ID. Conflict:
// it is being removed. InvalidArgument: of what is asked for.
func (c *Contents) Commit(ctx context.Context, ref string, o CommitOptions) (id string, err error) {
	u, err := c.Units.Find(ref)
	if err != nil {
		return "", err
	}
	if err := present(u, "commit"); err != nil {
		return "", err
	}
	r := u.View().Record
	config := imageConfig(r.Config)
	if o.Config != nil {
		if err := spec.Merge(o.Config, &config); err != nil {
			return "", err
		}
		config = imageConfig(o.Config)
	}
	image := Image{
		Parent: r.Image, Platform: r.Platform, Config: config, Author: o.Author, Comment: o.Comment,
		CreatedBy: strings.Join(r.Config.Cmd, " "), Name: o.Name,
	}
	if err := instructions.Apply(&image.Config, o.Changes); err != nil {
		return "", err
	}
	err = held(ctx, u, func(ctx context.Context) error {
		id, err = c.commit(ctx, u, o.Pause, image)
		return err
	})
	if err != nil {
		return "", err
	}
	c.Events.Publish(u.Event(events.ActionCommit, map[string]string{"comment": o.Comment, "imageID": id, "imageRef": o.Name}))
	return id, nil
}

// commit packs the layer while the image is written.
func (c *Contents) commit(ctx context.Context, u *unit.Unit, pause bool, image Image) (string, error) {
	resume, err := c.pause(ctx, u, pause)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := c.layer(ctx, u.ID, w)
		_ = w.CloseWithError(err)            // cannot fail
		packed <- errors.Join(err, resume()) // it need not wait for the rest
	}()
	image.Layer = r
	id, err := c.Images.Commit(ctx, image)
	_ = r.CloseWithError(errors.New("the image could not be made")) // cannot fail
	if err != nil {
		cancel()
	}
	layered := <-packed
	if err != nil {
		return "", err // the cause of the other
	}
	return id, layered
}

func (c *Contents) layer(ctx context.Context, id string, w io.Writer) error {
	comparison, done, err := c.compare(ctx, id)
	if err != nil {
		return err
	}
	defer done()
	return comparison.Layer(ctx, w)
}

// pause holds a live container still. One at rest is held already, by its owner.
func (c *Contents) pause(ctx context.Context, u *unit.Unit, wanted bool) (resume func() error, err error) {
	if !wanted || !u.Status().Live() {
		return func() error { return nil }, nil
	}
	return c.Freezer.Hold(ctx, u.ID)
}

// imageConfig is what of a container's configuration an image has.
func imageConfig(c *ctypes.Config) dockerspec.DockerOCIImageConfig {
	var out dockerspec.DockerOCIImageConfig
	out.User, out.Env, out.Entrypoint, out.Cmd = c.User, c.Env, c.Entrypoint, c.Cmd
	out.WorkingDir, out.StopSignal, out.ArgsEscaped = c.WorkingDir, c.StopSignal, c.ArgsEscaped //nolint:staticcheck // Docker keeps it
	out.Healthcheck, out.OnBuild, out.Shell = c.Healthcheck, c.OnBuild, c.Shell
	out.Volumes, out.Labels = maps.Clone(c.Volumes), maps.Clone(c.Labels) // instructions add to them
	for port := range c.ExposedPorts {
		if out.ExposedPorts == nil {
			out.ExposedPorts = map[string]struct{}{}
		}
		out.ExposedPorts[port.String()] = struct{}{}
	}
	return out
}
