package catalog

import (
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/containerd/v2/core/images"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestFilters: three images of three days, and what filters leave of their names.
func TestFilters(t *testing.T) {
	var all []*Target
	for day, names := range []string{"old:1 old:2 kept:1", "middle:1", "moby-dangling@"} {
		id := digest.FromString(names)
		target := &Target{Desc: ocispec.Descriptor{Digest: id}}
		for _, n := range strings.Fields(names) {
			full := "docker.io/library/" + n
			if strings.HasPrefix(n, "moby") {
				full = n + id.String()
			}
			target.Names = append(target.Names, images.Image{Name: full, Target: target.Desc})
		}
		at := time.Date(2024, 1, 1+day, 0, 0, 0, 0, time.UTC)
		config := &dockerspec.DockerOCIImage{}
		config.Created = &at
		config.Config.Labels = map[string]string{"day": string(rune('1' + day))}
		target.Manifests = []*Manifest{{Kind: image.ManifestKindImage, Config: config}}
		all = append(all, target)
	}
	c := New(Config{})
	c.current.Store(NewView(all...))
	for _, one := range []struct {
		f    filters.Args
		want string // names, newest first
	}{
		{nil, "<none> middle:1 old:1,old:2,kept:1"},
		{filters.Args{"before": {"middle:1"}}, "old:1,old:2,kept:1"},
		{filters.Args{"since": {"middle:1"}}, "<none>"},
		{filters.Args{"since": {"old:2"}}, "<none> middle:1"},
		{filters.Args{"since": {"old:1"}, "dangling": {"false"}}, "middle:1"},
		{filters.Args{"until": {"2024-01-02"}}, "old:1,old:2,kept:1"},
		{filters.Args{"label": {"day=2"}}, "middle:1"},
		{filters.Args{"label!": {"day=2"}}, "<none> old:1,old:2,kept:1"},
		{filters.Args{"reference": {"old"}}, "old:1,old:2"},
		{filters.Args{"reference": {"*:1"}}, "middle:1 old:1,kept:1"},
		{filters.Args{"reference": {"old:2", "middle"}}, "middle:1 old:2"},
		{filters.Args{"reference": {"nobody"}}, ""},
	} {
		list, err := c.List(t.Context(), ListOptions{Filters: one.f})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range list {
			name := strings.Join(s.RepoTags, ",")
			if name == "" {
				name = "<none>"
			}
			got = append(got, name)
			if name != "<none>" && len(s.RepoDigests) == 0 {
				t.Errorf("%v: %s has no digest", one.f, name)
			}
		}
		if text := strings.Join(got, " "); text != one.want {
			t.Errorf("%v: %q, want %q", one.f, text, one.want)
		}
	}
}
