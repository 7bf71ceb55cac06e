package main

import (
	"context"

	"github.com/berth-engine/berth/pkg/engine/contents"
	"github.com/berth-engine/berth/pkg/engine/request"
	"github.com/berth-engine/berth/pkg/images"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// engineImages are the images as the engine sees them.
type engineImages struct{ *images.Store }

// Resolve finds what containers are made of.
func (e engineImages) Resolve(ctx context.Context, ref string, p *ocispec.Platform) (request.Image, error) {
	img, err := e.Store.Resolve(ctx, ref, p)
	return request.Image(img), err
}

// Commit makes an image of what the engine has of a container.
func (e engineImages) Commit(ctx context.Context, i contents.Image) (string, error) {
	return e.Assemble(ctx, images.Assembly{
		Parent: i.Parent, Platform: &i.Platform, Layer: i.Layer, Config: i.Config, Author: i.Author, Name: i.Name,
		History: ocispec.History{CreatedBy: i.CreatedBy, Author: i.Author, Comment: i.Comment},
	})
}
