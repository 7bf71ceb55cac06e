package images

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/berth-engine/berth/pkg/api"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/storage"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func object(t *testing.T, v any) map[string]any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// span is the versions in which a field is there.
type span struct {
	field     string
	from, end uint16
}

func check(t *testing.T, minor uint16, o map[string]any, spans []span) {
	t.Helper()
	for _, s := range spans {
		if _, ok := o[s.field]; ok != (minor >= s.from && minor < s.end) {
			t.Errorf("1.%d: %s is there: %v", minor, s.field, ok)
		}
	}
}

func TestConvertInspect(t *testing.T) {
	for minor := uint16(24); minor <= 55; minor++ {
		o := object(t, convertInspect(image.InspectResponse{
			Size:        7,
			Config:      &dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{Cmd: []string{"sh"}}},
			Descriptor:  &ocispec.Descriptor{},
			GraphDriver: &storage.DriverData{Name: "overlayfs"},
			Identity:    &image.Identity{},
		}, api.V1(minor)))
		check(t, minor, o, []span{
			{"VirtualSize", 0, 44}, {"Created", 0, 44}, {"Container", 0, 45}, {"ContainerConfig", 0, 45},
			{"Descriptor", 48, 99}, {"Parent", 0, 52}, {"Comment", 0, 52}, {"Author", 0, 52}, {"DockerVersion", 0, 52},
			{"GraphDriver", 0, 52}, {"Identity", 53, 99}, {"RepoTags", 0, 99}, {"RepoDigests", 0, 99},
		})
		config := o["Config"].(map[string]any)
		check(t, minor, config, []span{{"Hostname", 0, 50}, {"Tty", 0, 50}, {"Env", 0, 52}, {"User", 0, 52}, {"Cmd", 0, 99}})
		if minor < 45 && !reflect.DeepEqual(o["ContainerConfig"], o["Config"]) {
			t.Errorf("1.%d: ContainerConfig is %v", minor, o["ContainerConfig"])
		}
		if config["Cmd"] == nil || o["RepoTags"] == nil {
			t.Errorf("1.%d: what the image has was lost: %v", minor, o)
		}
	}
}

func TestConvertList(t *testing.T) {
	for minor := uint16(24); minor <= 55; minor++ {
		list := []image.Summary{{Size: 7, Containers: 3, Descriptor: &ocispec.Descriptor{}}}
		o := object(t, map[string]any{"list": convertList(list, api.V1(minor))})["list"].([]any)[0].(map[string]any)
		check(t, minor, o, []span{{"VirtualSize", 0, 44}, {"Descriptor", 48, 99}})
		containers, tags := 3.0, 0
		if minor < 51 {
			containers = -1
		}
		if minor < 43 {
			tags = 1
		}
		if o["Containers"] != containers || len(o["RepoTags"].([]any)) != tags || len(o["RepoDigests"].([]any)) != tags {
			t.Errorf("1.%d: %v", minor, o)
		}
	}
	if raw, _ := json.Marshal(convertList(nil, api.V1(24))); string(raw) != "[]" {
		t.Errorf("nothing is %s", raw)
	}
}

func TestPullReference(t *testing.T) {
	const digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, c := range []struct{ from, tag, want string }{
		{"busybox", "latest", "docker.io/library/busybox:latest"},
		{"busybox", "", "docker.io/library/busybox"},
		{"busybox:", "", "docker.io/library/busybox"},
		{"busybox:1", "", "docker.io/library/busybox:1"},
		{"localhost:5000/a/b", digest, "localhost:5000/a/b@" + digest},
		{"a/b@" + digest, "", "docker.io/a/b@" + digest},
		{"a", "no good", ""},
		{"A", "", ""},
		{"", "", ""},
	} {
		ref, err := pullReference(c.from, c.tag)
		if c.want == "" {
			if err == nil {
				t.Errorf("%q %q: %s", c.from, c.tag, ref)
			}
		} else if err != nil || ref.String() != c.want {
			t.Errorf("%q %q: %v %v, want %s", c.from, c.tag, ref, err, c.want)
		}
	}
}
