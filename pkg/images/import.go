package images

import (
	"cmp"
	"context"
	"io"

	"github.com/berth-engine/berth/pkg/images/progress"
	"github.com/berth-engine/berth/pkg/instructions"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ImportOptions say what becomes of an imported root filesystem.
type ImportOptions struct {
	Source   string            // "-": the body of the request; else a URL that the daemon fetches
	Name     string            // "repo:tag", "" for none
	Message  string            // of the image's history; "" says where it is from
	Platform *ocispec.Platform // nil is the host's
	Changes  []string          // Dockerfile instructions for the configuration
}

// Import makes an image of a tar of a root filesystem, plain or compressed, which
// body or the URL has, and tells its ID. Errors as of Assemble, and InvalidArgument
// for changes and URLs that are none.
func (s *Store) Import(ctx context.Context, body io.Reader, o ImportOptions, send func(jsonstream.Message) error) error {
	ctx, cancel := context.WithCancelCause(s.context(ctx))
	defer cancel(nil)
	out := progress.New(send, cancel)
	a := Assembly{Platform: o.Platform, Layer: body, Name: o.Name}
	a.History.Comment = cmp.Or(o.Message, "Imported from "+o.Source)
	if err := instructions.Apply(&a.Config, o.Changes); err != nil {
		return err
	}
	if o.Source != "-" {
		rc, size, err := s.cfg.Registries.Download(ctx, o.Source)
		if err != nil {
			return err
		}
		defer rc.Close()
		out.Message("", "Downloading from "+o.Source)
		a.Layer = out.Reader(rc, "", "Downloading", size)
	}
	t, _, err := assembler{s}.assemble(ctx, a)
	if err != nil {
		return err
	}
	id := t.Desc.Digest.String()
	s.cfg.publish(events.ActionImport, id, id, t.Labels())
	out.Message("", id)
	return nil
}
