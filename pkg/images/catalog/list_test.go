package catalog

import (
	"fmt"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func BenchmarkList1000(b *testing.B) {
	var all []*Target
	for i := range 1000 {
		m := &Manifest{Kind: image.ManifestKindImage, Config: &dockerspec.DockerOCIImage{}}
		m.Config.Config.Labels = map[string]string{"a": "b"}
		t := &Target{Desc: ocispec.Descriptor{Digest: digest.FromString(fmt.Sprint(i))}, Manifests: []*Manifest{m}}
		t.Names = []images.Image{{Name: fmt.Sprintf("docker.io/library/image%d:latest", i), Target: t.Desc}}
		all = append(all, t)
	}
	c := New(Config{})
	c.current.Store(NewView(all...))
	for b.Loop() {
		if all, err := c.List(b.Context(), ListOptions{}); err != nil || len(all) != 1000 {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	m := &Manifest{Kind: image.ManifestKindImage, Config: &dockerspec.DockerOCIImage{}}
	t := &Target{Desc: ocispec.Descriptor{Digest: digest.FromString("x")}, Manifests: []*Manifest{m}}
	t.Names = []images.Image{{Name: "docker.io/library/busybox:latest", Target: t.Desc}}
	v := NewView(t)
	for b.Loop() {
		found, _, err := v.Lookup("busybox")
		if err == nil {
			_, err = found.Pick("busybox", nil)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
