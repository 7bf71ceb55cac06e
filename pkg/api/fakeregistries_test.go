package api_test

import (
	"context"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fakeRegistries take every password.
type fakeRegistries struct{}

func (fakeRegistries) Login(context.Context, registry.AuthConfig) (registry.AuthResponse, error) {
	return registry.AuthResponse{Status: "Login Succeeded", IdentityToken: "token"}, nil
}

func (fakeRegistries) Search(context.Context, string, int, *registry.AuthConfig, filters.Args) ([]registry.SearchResult, error) {
	return []registry.SearchResult{{Name: "busybox", Description: "Busybox base image.", StarCount: 7, IsOfficial: true}}, nil
}

func (fakeRegistries) Distribution(context.Context, string, *registry.AuthConfig) (registry.DistributionInspect, error) {
	return registry.DistributionInspect{
		Descriptor: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: "sha256:" + someID, Size: 7},
		Platforms:  []ocispec.Platform{{OS: "linux", Architecture: "amd64"}},
	}, nil
}
