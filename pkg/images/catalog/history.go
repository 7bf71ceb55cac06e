package catalog

import (
	"context"
	"slices"

	"github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// History tells the steps that made an image, the last one first, from memory.
// Sizes are bytes unpacked, 0 for what is not. Platform and errors as of
// Resolve.
func (x *Catalog) History(_ context.Context, ref string, p *ocispec.Platform) ([]image.HistoryResponseItem, error) {
	t, _, err := x.View().Lookup(ref)
	if err != nil {
		return nil, err
	}
	m, err := t.Pick(ref, p)
	if err != nil {
		return nil, err
	}
	sizes := m.unpacked
	out := make([]image.HistoryResponseItem, 0, len(m.Config.History))
	for _, h := range m.Config.History {
		item := image.HistoryResponseItem{ID: "<missing>", Comment: h.Comment, CreatedBy: h.CreatedBy}
		if h.Created != nil {
			item.Created = h.Created.Unix()
		}
		if !h.EmptyLayer && len(sizes) > 0 {
			item.Size, sizes = sizes[0], sizes[1:]
		}
		out = append(out, item)
	}
	slices.Reverse(out)
	if len(out) > 0 {
		out[0].ID = t.Desc.Digest.String()
		out[0].Tags = slices.Clone(t.tags)
	}
	return out, nil
}
