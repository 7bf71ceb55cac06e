package images

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/berth-engine/berth/pkg/filters"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/berth-engine/berth/pkg/images/remote"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/image"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestTag(t *testing.T) {
	b := newBench(t)
	one := b.have(archive.Options{Names: []string{"one"}})
	two := b.have(archive.Options{Names: []string{"two"}, User: "1"})
	if err := b.Tag(b.ctx, "one", "localhost:5000/x/y:z"); err != nil {
		t.Fatal(err)
	}
	same(t, b.told(), []string{"tag " + one + " localhost:5000/x/y:z"})
	if err := b.Tag(b.ctx, one[7:20], "two"); err != nil {
		t.Fatal(err)
	}
	same(t, b.known(), []string{"docker.io/library/one:latest", "docker.io/library/two:latest", "localhost:5000/x/y:z", "moby-dangling@" + two})
	// Naming it again ends its dangling.
	if err := b.Tag(b.ctx, two, "three:3"); err != nil {
		t.Fatal(err)
	}
	same(t, b.known(), []string{"docker.io/library/one:latest", "docker.io/library/three:3", "docker.io/library/two:latest", "localhost:5000/x/y:z"})
	for name, want := range map[string]string{
		"A":                       "invalid reference format: repository name (library/A) must be lowercase",
		"x@" + one:                "refusing to create a tag with a digest reference",
		one:                       "refusing to create a tag with a digest reference",
		strings.Repeat("a", 2000): "invalid reference format: too long",
		"":                        "invalid reference format",
	} {
		if err := b.Tag(b.ctx, "one", name); !errdefs.IsInvalidArgument(err) || err.Error() != want {
			t.Errorf("%.80s: got %v, want %s", name, err, want)
		}
	}
	if err := b.Tag(b.ctx, "four", "five"); !errdefs.IsNotFound(err) || err.Error() != "No such image: four:latest" {
		t.Error(err)
	}
}

// TestResolveFromMemory: with a context that has ended, only memory can answer.
func TestResolveFromMemory(t *testing.T) {
	b := newBench(t)
	id := b.have(archive.Options{Names: []string{"busybox:1.36"}, Layers: 1})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ref := range []string{"busybox:1.36", "docker.io/library/busybox:1.36", id, id[7:], id[7:12], id[:15], "busybox@" + id, "busybox:9@" + id} {
		got, chain, img, err := b.Resolve(ended, ref, nil)
		if err != nil || got != id || chain == "" || img.Architecture != "amd64" {
			t.Errorf("%s: %s %s %v", ref, got, chain, err)
			continue
		}
		img.Config.Env[0], img.Config.Cmd = "HACKED=1", nil
	}
	if _, _, img, err := b.Resolve(ended, id, nil); err != nil || img.Config.Env[0] == "HACKED=1" || img.Config.Cmd == nil {
		t.Errorf("a caller changed the image: %v %v", img, err)
	}
	for ref, want := range map[string]string{
		"busybox":                           "No such image: busybox:latest",
		"other@" + id:                       "No such image: other@" + id,
		"abcdef":                            "No such image: abcdef:latest",
		"sha256:" + strings.Repeat("0", 64): "No such image: sha256:" + strings.Repeat("0", 64),
	} {
		if _, _, _, err := b.Resolve(ended, ref, nil); !errdefs.IsNotFound(err) || err.Error() != want {
			t.Errorf("%s: got %v, want %s", ref, err, want)
		}
	}
	if _, _, _, err := b.Resolve(ended, "Upper", nil); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
	if _, err := b.List(ended, catalog.ListOptions{}); err != nil {
		t.Error(err)
	}
}

// TestResolveUnpacks: a snapshot that another client took away is made again.
func TestResolveUnpacks(t *testing.T) {
	b := newBench(t)
	b.have(archive.Options{Names: []string{"x"}, Layers: 2})
	_, chain, _, err := b.Resolve(b.ctx, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	sn := b.Store.client.SnapshotService("overlayfs")
	if err := sn.Remove(b.ctx, chain.String()); err != nil {
		t.Fatal(err)
	}
	b.until("the index knows that the snapshot is gone", func() bool {
		tg, _, err := b.Catalog.View().Lookup("x")
		return err == nil && !tg.Best(nil).Ready()
	})
	if _, _, _, err := b.Resolve(b.ctx, "x", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := sn.Stat(b.ctx, chain.String()); err != nil {
		t.Error(err)
	}
}

// TestOverSocket: the same with a containerd that is another process's.
func TestOverSocket(t *testing.T) {
	c, err := client.New(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := startRegistry(t, false)
	r.push("x", "1", archive.Options{Layers: 2, LayerSize: 100000})
	b := openClient(t, c, fmt.Sprintf("t%d", namespaceCount.Add(1)), remote.Config{})
	defer b.Close()
	id := b.have(archive.Options{Names: []string{"x"}, Layers: 1})
	if got, _, _, err := b.Resolve(b.ctx, "x", nil); err != nil || got != id {
		t.Error(got, err)
	}
	if _, err := b.fetched(r.host+"/x:1", PullOptions{}); err != nil {
		t.Error(err)
	}
	if err := b.Store.client.ImageService().Delete(b.ctx, "docker.io/library/x:latest"); err != nil {
		t.Fatal(err)
	}
	b.until("the name is gone", func() bool { _, _, _, err := b.Resolve(b.ctx, "x", nil); return errdefs.IsNotFound(err) })
	if _, err := b.Remove(b.ctx, r.host+"/x:1", false, false); err != nil {
		t.Error(err)
	}
	blobs, snaps, ingests := b.left()
	is(t, blobs+snaps+ingests, 0)
}

// until waits for what containerd's events bring about; the index gives no
// sign of its own to tests.
func (b *bench) until(what string, f func() bool) {
	b.t.Helper()
	for range 2000 {
		if f() {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-b.t.Context().Done():
		}
	}
	b.t.Fatal("not within 10 s: " + what)
}

// TestFollow: what ctr or nerdctl do is seen.
func TestFollow(t *testing.T) {
	b := newBench(t)
	id := b.have(archive.Options{Names: []string{"x"}})
	tg, _, err := b.Catalog.View().Lookup("x")
	if err != nil {
		t.Fatal(err)
	}
	service := b.Store.client.ImageService()
	knows := func(ref string) func() bool {
		return func() bool { got, _, _, err := b.Resolve(b.ctx, ref, nil); return err == nil && got == id }
	}
	if _, err := service.Create(b.ctx, images.Image{Name: "docker.io/library/y:latest", Target: tg.Desc}); err != nil {
		t.Fatal(err)
	}
	b.until("a new name is known", knows("y"))
	if _, err := service.Create(b.ctx, images.Image{Name: "import-2026-01-01", Target: tg.Desc}); err != nil {
		t.Fatal(err)
	}
	b.until("a name that is not canonical is known", knows("import-2026-01-01"))
	if err := service.Delete(b.ctx, "docker.io/library/x:latest"); err != nil {
		t.Fatal(err)
	}
	b.until("a name that went is unknown", func() bool { return !knows("x")() })
	// A second store on the namespace begins with what is there.
	second := openBench(t, b.cfg.Namespace, remote.Config{})
	got, err := second.List(b.ctx, catalog.ListOptions{})
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	same(t, got[0].RepoTags, []string{"y:latest", "import-2026-01-01"})
}

func TestList(t *testing.T) {
	b := newBench(t)
	one := b.have(archive.Options{Names: []string{"one:1", "a/one:2"}, Labels: map[string]string{"k": "1", "l": ""}})
	two := b.have(archive.Options{Names: []string{"two"}, Labels: map[string]string{"k": "2"}, Layers: 1, LayerSize: 5000})
	none := b.have(archive.Options{User: "3"})
	b.running, b.stopped = []string{"c1"}, []string{"c2"}
	list := func(f filters.Args) (ids []string) {
		t.Helper()
		all, err := b.List(b.ctx, catalog.ListOptions{Filters: f})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			ids = append(ids, map[string]string{one: "one", two: "two", none: "none"}[s.ID])
		}
		return ids
	}
	sorted := func(ids []string) []string { slices.Sort(ids); return ids }
	for _, c := range []struct {
		f    filters.Args
		want []string
	}{
		{nil, []string{"none", "one", "two"}},
		{filters.Args{"dangling": {"true"}}, []string{"none"}},
		{filters.Args{"dangling": {"false"}}, []string{"one", "two"}},
		{filters.Args{"reference": {"one"}}, []string{"one"}},
		{filters.Args{"reference": {"*:latest"}}, []string{"two"}},
		{filters.Args{"reference": {"a/*"}}, []string{"one"}},
		{filters.Args{"reference": {"two:latest", "one:1"}}, []string{"one", "two"}},
		{filters.Args{"reference": {"docker.io/library/two"}}, []string{"two"}},
		{filters.Args{"reference": {"docker.io/a/one:*"}}, []string{"one"}},
		{filters.Args{"label": {"k"}}, []string{"one", "two"}},
		{filters.Args{"label": {"k=2"}}, []string{"two"}},
		{filters.Args{"label": {"k=1", "l"}}, []string{"one"}},
		{filters.Args{"label!": {"k=1"}}, []string{"none", "two"}},
		{filters.Args{"until": {"24h"}}, []string{"none", "one", "two"}},
		{filters.Args{"until": {"2020-01-01"}}, nil},
		{filters.Args{"until": {"24h", "2020-01-01"}}, nil},
		{filters.Args{"before": {"two"}}, nil}, // all are of the same time
	} {
		same(t, sorted(list(c.f)), c.want)
	}
	for _, f := range []filters.Args{{"colour": {"red"}}, {"dangling": {"maybe"}}, {"reference": {"["}}, {"until": {"soon"}}} {
		if _, err := b.List(b.ctx, catalog.ListOptions{Filters: f}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v: %v", f, err)
		}
	}
	if _, err := b.List(b.ctx, catalog.ListOptions{Filters: filters.Args{"since": {"nix"}}}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	// Of an image's names those are told that were asked for.
	if all, err := b.List(b.ctx, catalog.ListOptions{Filters: filters.Args{"reference": {"a/*"}}}); err != nil || len(all) != 1 || !slices.Equal(all[0].RepoTags, []string{"a/one:2"}) {
		t.Errorf("%+v (%v)", all, err)
	}
	checkSummary(t, b, one, two)
}

func checkSummary(t *testing.T, b *bench, one, two string) {
	t.Helper()
	all, err := b.List(b.ctx, catalog.ListOptions{SharedSize: true, Manifests: true})
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]image.Summary{}
	for _, s := range all {
		byID[s.ID] = s
	}
	s := byID[one]
	same(t, s.RepoTags, []string{"a/one:2", "one:1"})
	same(t, s.RepoDigests, []string{"a/one@" + one, "one@" + one})
	is(t, s.Containers, 2)
	is(t, s.Labels["k"], "1")
	is(t, s.Created, time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Unix())
	is(t, s.Descriptor.Digest.String(), one)
	m := s.Manifests[0]
	is(t, m.Kind, image.ManifestKindImage)
	is(t, m.Available, true)
	is(t, s.Size, m.Size.Total)
	is(t, m.Size.Total, m.Size.Content+m.ImageData.Size.Unpacked)
	same(t, m.ImageData.Containers, []string{"c1", "c2"})
	// The base layer is shared by all; only the rest of two is its own.
	is(t, s.SharedSize, m.ImageData.Size.Unpacked)
	if own := byID[two].Manifests[0].ImageData.Size.Unpacked - byID[two].SharedSize; own < 5000 {
		t.Errorf("%d bytes are not shared", own)
	}
	for _, s := range all {
		if s.RepoTags == nil || s.RepoDigests == nil {
			t.Errorf("%+v has null lists", s)
		}
	}
}

func TestInspectAndHistory(t *testing.T) {
	b := newBench(t)
	id := b.have(archive.Options{Names: []string{"x"}, Layers: 1, LayerSize: 3000, Expose: []string{"80/tcp"}, Cmd: []string{"httpd", "-f"}})
	got, err := b.Inspect(b.ctx, "x", catalog.InspectOptions{Manifests: true})
	if err != nil {
		t.Fatal(err)
	}
	is(t, got.ID, id)
	is(t, got.Created, "2024-01-01T00:00:00Z")
	is(t, got.Os+"/"+got.Architecture, "linux/amd64")
	is(t, len(got.RootFS.Layers), 2)
	is(t, got.GraphDriver.Name, "overlayfs")
	is(t, len(got.Manifests), 1)
	is(t, got.Size, got.Manifests[0].Size.Content)
	if _, ok := got.Config.ExposedPorts["80/tcp"]; !ok || got.Metadata.LastTagTime.IsZero() || got.Descriptor.Size == 0 {
		t.Errorf("%+v", got)
	}
	if _, err := b.Inspect(b.ctx, "x", catalog.InspectOptions{Platform: &ocispec.Platform{OS: "linux", Architecture: "arm64"}}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	h, err := b.History(b.ctx, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, len(h), 3)
	is(t, h[0].ID, id)
	is(t, h[0].CreatedBy, "CMD httpd -f")
	same(t, h[0].Tags, []string{"x:latest"})
	is(t, h[0].Size, 0)
	is(t, h[1].ID, "<missing>")
	if h[1].Size < 3000 || h[2].Size == 0 {
		t.Errorf("%+v", h)
	}
}

// TestOpenEndsLeases: what a process that was killed had begun goes.
func TestOpenEndsLeases(t *testing.T) {
	b := newBench(t)
	ctx, _, err := b.keeper.Lease(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	w, err := b.Store.client.ContentStore().Writer(ctx, content.WithRef("half"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half a layer")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	blobs, _, ingests := b.left()
	is(t, blobs, 0)
	is(t, ingests, 1)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	next := openBench(t, b.cfg.Namespace, remote.Config{})
	_, _, ingests = next.left()
	is(t, ingests, 0)
}

func FuzzReference(f *testing.F) {
	for _, s := range []string{"busybox", "a/b:c", "sha256:abcd", "x@sha256:" + strings.Repeat("0", 64), "UPPER", ":", "@", "moby-dangling@", "localhost:5000/x"} {
		f.Add(s)
	}
	id := "sha256:" + strings.Repeat("ab", 32)
	tg := &catalog.Target{Desc: ocispec.Descriptor{Digest: digest.Digest(id)}, Names: []images.Image{{Name: "docker.io/library/a:latest", Target: ocispec.Descriptor{Digest: digest.Digest(id)}}}}
	v := catalog.NewView(tg)
	f.Fuzz(func(t *testing.T, ref string) {
		found, name, err := v.Lookup(ref)
		if err != nil {
			if !errdefs.IsNotFound(err) && !errdefs.IsInvalidArgument(err) {
				t.Fatal(err)
			}
			return
		}
		if _, err := removalOf(found, ref, name, true, nil, nil); err != nil {
			t.Fatal(err)
		}
	})
}
