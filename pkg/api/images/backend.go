// Package images serves /images, and turns the progress of long operations
// into streams of JSON messages.
package images

import (
	"context"
	"io"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/berth-engine/berth/pkg/images"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Backend is what the routes need of the image store. ref is a name, a digest,
// an ID or an ID prefix, as the client gave it.
type Backend struct {
	Reader
	Writer
	Mover
}

// Reader tells of images. What it returns belongs to the caller.
type Reader interface {
	List(ctx context.Context, o catalog.ListOptions) ([]image.Summary, error)
	Inspect(ctx context.Context, ref string, o catalog.InspectOptions) (image.InspectResponse, error)
	Attestations(ctx context.Context, ref string, o catalog.AttestationOptions) ([]image.AttestationStatement, error)
	History(ctx context.Context, ref string, platform *ocispec.Platform) ([]image.HistoryResponseItem, error)
}

// Writer makes images, changes their names, and removes them. newRef is a full name with its tag.
type Writer interface {
	// Import makes an image of a root filesystem. progress as of Mover.
	Import(ctx context.Context, body io.Reader, o images.ImportOptions, progress func(jsonstream.Message) error) error
	Tag(ctx context.Context, ref, newRef string) error
	Prune(ctx context.Context, f filters.Args) (image.PruneReport, error)
	Remove(ctx context.Context, ref string, force, noPrune bool) ([]image.DeleteResponse, error)
	RemovePlatforms(ctx context.Context, ref string, platforms []ocispec.Platform, force bool) ([]image.DeleteResponse, error)
}

// Mover brings images here and away. progress sends a message to the client; an error
// of it means that the client is gone, and ends the operation.
type Mover interface {
	Load(ctx context.Context, archive io.Reader, quiet bool, platforms []ocispec.Platform, progress func(jsonstream.Message) error) error
	// Save writes nothing before it knows that it can.
	Save(ctx context.Context, refs []string, platforms []ocispec.Platform, w io.Writer) error
	// Pull takes a full name with a tag or digest, or without either for all tags.
	Pull(ctx context.Context, ref string, o images.PullOptions, progress func(jsonstream.Message) error) error
	// Push takes a full name with a tag, or without for all tags.
	Push(ctx context.Context, ref string, o images.PushOptions, progress func(jsonstream.Message) error) error
}
