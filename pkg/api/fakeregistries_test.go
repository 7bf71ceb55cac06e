package api_test

import (
	"context"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fakeRegistries take every password.
type fakeRegistries struct{ *journal }

func (f fakeRegistries) Login(_ context.Context, auth registry.AuthConfig) (registry.AuthResponse, error) {
	f.note("Login", auth)
	return registry.AuthResponse{Status: "Login Succeeded", IdentityToken: "token"}, nil
}

func (f fakeRegistries) Search(_ context.Context, term string, limit int, auth *registry.AuthConfig, args filters.Args) ([]registry.SearchResult, error) {
	f.note("Search", term, limit, auth, args)
	return []registry.SearchResult{{Name: "busybox", Description: "Busybox base image.", StarCount: 7, IsOfficial: true}}, nil
}

func (f fakeRegistries) Distribution(_ context.Context, ref string, auth *registry.AuthConfig) (registry.DistributionInspect, error) {
	f.note("Distribution", ref, auth)
	return registry.DistributionInspect{
		Descriptor: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: "sha256:" + someID, Size: 7},
		Platforms:  []ocispec.Platform{{OS: "linux", Architecture: "amd64"}},
	}, nil
}
