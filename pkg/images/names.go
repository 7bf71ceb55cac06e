package images

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/berth-engine/berth/pkg/images/archive"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"
)

// namer writes containerd's records of images.
type namer struct {
	client  *client.Client
	changes *semaphore.Weighted // one change at a time: it is a decision and several writes
}

func newNamer(c *client.Client) *namer {
	return &namer{client: c, changes: semaphore.NewWeighted(1)}
}

// change lets one caller at a time decide about names and write them, since
// one decision takes several records.
func (n *namer) change(ctx context.Context, f func(ctx context.Context) error) error {
	if err := n.changes.Acquire(ctx, 1); err != nil {
		return err
	}
	defer n.changes.Release(1)
	// Not to be interrupted between two records by a client that goes away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardown)
	defer cancel()
	return f(ctx)
}

// set makes name point at desc. An image that loses its last name by that
// stays as a dangling one; a dangling name of desc goes. Each state between is
// one that a crash may leave. The caller is in change. It returns the names
// that the index must read again, also with an error.
func (n *namer) set(ctx context.Context, name string, desc ocispec.Descriptor) (touched []string, err error) {
	service := n.client.ImageService()
	touched = append(touched, name)
	old, err := service.Get(ctx, name)
	switch {
	case errdefs.IsNotFound(err):
		_, err = service.Create(ctx, images.Image{Name: name, Target: catalog.Bare(desc)})
	case err != nil:
	case old.Target.Digest != desc.Digest:
		kept, kerr := n.keepDangling(ctx, old)
		touched = append(touched, kept...)
		if kerr != nil {
			return touched, kerr
		}
		old.Target = catalog.Bare(desc)
		_, err = service.Update(ctx, old, "target")
	}
	if err != nil {
		return touched, fmt.Errorf("name image %s: %w", catalog.Familiar(name), err)
	}
	dangling := catalog.DanglingName(desc.Digest)
	if name == dangling {
		return touched, nil
	}
	if err := service.Delete(ctx, dangling); err == nil {
		touched = append(touched, dangling)
	} else if !errdefs.IsNotFound(err) {
		return touched, fmt.Errorf("remove %s: %w", dangling, err)
	}
	return touched, nil
}

// keepDangling gives the target of img a dangling name if img is its only one.
func (n *namer) keepDangling(ctx context.Context, img images.Image) (touched []string, err error) {
	service := n.client.ImageService()
	same, err := service.List(ctx, "target.digest=="+img.Target.Digest.String())
	if err != nil {
		return nil, err
	}
	if len(same) > 1 {
		return nil, nil
	}
	name := catalog.DanglingName(img.Target.Digest)
	_, err = service.Create(ctx, images.Image{Name: name, Target: catalog.Bare(img.Target), CreatedAt: img.CreatedAt})
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return nil, fmt.Errorf("keep image %s: %w", img.Target.Digest, err)
	}
	return []string{name}, nil
}

// setLoaded gives an image its name, or a dangling one if it has no other.
func (n *namer) setLoaded(ctx context.Context, img archive.Image) ([]string, error) {
	if img.Name != "" {
		return n.set(ctx, img.Name, img.Target)
	}
	same, err := n.client.ImageService().List(ctx, "target.digest=="+img.Target.Digest.String())
	if err != nil {
		return nil, err
	}
	if len(same) > 0 {
		return []string{same[0].Name}, nil
	}
	return n.set(ctx, catalog.DanglingName(img.Target.Digest), img.Target)
}

// publish sends one of Docker's image events: the actor is the image, its
// attributes are the image's labels and the name that was acted with.
func (c Config) publish(action events.Action, id, name string, labels map[string]string) {
	if c.Events == nil {
		return
	}
	attributes := maps.Clone(labels)
	if attributes == nil {
		attributes = map[string]string{}
	}
	attributes["name"] = name
	now := time.Now()
	c.Events(events.Message{
		Type: events.ImageEventType, Action: action,
		Actor: events.Actor{ID: id, Attributes: attributes},
		Scope: "local", Time: now.Unix(), TimeNano: now.UnixNano(),
	})
}

func notFound(format string, args ...any) error {
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf(format, args...))
}

// teardown bounds what is undone after a request ended.
const teardown = 10 * time.Second
