package main

import (
	"context"

	"github.com/berth-engine/berth/pkg/engine/contents"
	"github.com/berth-engine/berth/pkg/images"
	"github.com/berth-engine/berth/pkg/images/catalog"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// committer makes images of what the engine has of containers.
type committer struct {
	*images.Store
	*catalog.Catalog
}

func (c committer) Commit(ctx context.Context, i contents.Image) (string, error) {
	return c.Assemble(ctx, images.Assembly{
		Parent: i.Parent, Platform: &i.Platform, Layer: i.Layer, Config: i.Config, Author: i.Author, Name: i.Name,
		History: ocispec.History{CreatedBy: i.CreatedBy, Author: i.Author, Comment: i.Comment},
	})
}
