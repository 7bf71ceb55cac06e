package images

import (
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/image"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestRemovalRules holds Docker's rules: what a request removes, or in which
// words it is refused.
func TestRemovalRules(t *testing.T) {
	const (
		id    = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		short = "aaaaaaaaaaaa"
		bb    = "docker.io/library/busybox:latest"
		bb1   = "docker.io/library/busybox:1"
		bbID  = "docker.io/library/busybox@" + id
		other = "example.org/x:latest"
		none  = catalog.DanglingPrefix + id
		c1    = "cccccccccccccccc"
		c1s   = "cccccccccccc"
	)
	for _, c := range []struct {
		test             string
		names            string // of the image
		ref              string
		force            bool
		running, stopped string
		want             string // names removed; then "gone" or "keep"
		err              string
	}{
		{test: "last name", names: bb, ref: "busybox", want: bb + " gone"},
		{test: "one of two", names: bb + " " + other, ref: "busybox", want: bb},
		{test: "one tag of two", names: bb + " " + bb1, ref: "busybox:1", want: bb1},
		{test: "one of two, running", names: bb + " " + other, ref: "busybox", running: c1, want: bb},
		{test: "tag and its digest", names: bb + " " + bbID, ref: "busybox", want: bb + " " + bbID + " gone"},
		{test: "digest stays for the other tag", names: bb + " " + bb1 + " " + bbID, ref: "busybox", want: bb},
		{test: "by digest", names: bb + " " + bb1 + " " + other, ref: "busybox@" + id, want: bb1 + " " + bb},
		{test: "by digest, all", names: bb + " " + bb1, ref: "busybox@" + id, want: bb1 + " " + bb + " gone"},
		{test: "last name, running", names: bb, ref: "busybox", running: c1,
			err: "conflict: unable to delete busybox:latest (must be forced) - container " + c1s + " is using its referenced image " + short},
		{test: "last name, stopped", names: bb, ref: "busybox", stopped: c1,
			err: "conflict: unable to delete busybox:latest (must be forced) - container " + c1s + " is using its referenced image " + short},
		{test: "last name, running, forced", names: bb, ref: "busybox", running: c1, force: true, want: bb + " keep"},
		{test: "last name, stopped, forced", names: bb, ref: "busybox", stopped: c1, force: true, want: bb + " keep"},
		{test: "id", names: bb, ref: short, want: bb + " gone"},
		{test: "id, tag and digest", names: bb + " " + bbID, ref: id, want: bb + " " + bbID + " gone"},
		{test: "id, two tags", names: bb + " " + bb1, ref: id,
			err: "conflict: unable to delete " + short + " (must be forced) - image is referenced in multiple repositories"},
		{test: "id, two repositories", names: bb + " " + other, ref: short,
			err: "conflict: unable to delete " + short + " (must be forced) - image is referenced in multiple repositories"},
		{test: "id, two repositories, forced", names: bb + " " + other, ref: short, force: true, want: bb + " " + other + " gone"},
		{test: "id, running", names: bb, ref: short, running: c1,
			err: "conflict: unable to delete " + short + " (cannot be forced) - image is being used by running container " + c1s},
		{test: "id, running, forced", names: bb, ref: short, running: c1, force: true,
			err: "conflict: unable to delete " + short + " (cannot be forced) - image is being used by running container " + c1s},
		{test: "id, stopped", names: bb, ref: short, stopped: c1,
			err: "conflict: unable to delete " + short + " (must be forced) - image is being used by stopped container " + c1s},
		{test: "id, stopped, forced", names: bb, ref: short, stopped: c1, force: true, want: bb + " gone"},
		{test: "dangling", names: none, ref: short, want: none + " gone"},
		{test: "dangling by its name", names: none, ref: none, want: none + " gone"},
	} {
		t.Run(c.test, func(t *testing.T) {
			tg := &catalog.Target{Desc: ocispec.Descriptor{Digest: id}}
			for _, n := range strings.Fields(c.names) {
				tg.Names = append(tg.Names, images.Image{Name: n, Target: tg.Desc})
			}
			slices.SortFunc(tg.Names, func(a, b images.Image) int { return strings.Compare(a.Name, b.Name) })
			found, name, err := catalog.NewView(tg).Lookup(c.ref)
			if err != nil {
				t.Fatal(err)
			}
			r, err := removalOf(found, c.ref, name, c.force, strings.Fields(c.running), strings.Fields(c.stopped))
			if c.err != "" {
				if err == nil || err.Error() != c.err || !errdefs.IsConflict(err) {
					t.Errorf("got  %v\nwant %s", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range r.names {
				got = append(got, n.Name)
			}
			slices.Sort(got)
			if r.gone {
				got = append(got, "gone")
			}
			if r.keep {
				got = append(got, "keep")
			}
			want := strings.Fields(c.want)
			n := len(want)
			for n > 0 && (want[n-1] == "gone" || want[n-1] == "keep") {
				n--
			}
			slices.Sort(want[:n])
			same(t, got, want)
		})
	}
}

func TestRemove(t *testing.T) {
	b := newBench(t)
	id := b.have(archive.Options{Names: []string{"busybox", "b:1"}, Labels: map[string]string{"k": "v"}})
	got, err := b.Remove(b.ctx, "b:1", false, false)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, []image.DeleteResponse{{Untagged: "b:1"}})
	same(t, b.told(), []string{"untag " + id + " b:1"})
	got, err = b.Remove(b.ctx, id, false, false)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, []image.DeleteResponse{{Untagged: "busybox:latest"}, {Deleted: id}})
	same(t, b.told(), []string{"untag " + id + " busybox:latest", "delete " + id + " " + id})
	blobs, snaps, _ := b.left()
	is(t, blobs+snaps, 0)
	if _, err := b.Remove(b.ctx, "busybox", true, false); !errdefs.IsNotFound(err) || err.Error() != "No such image: busybox:latest" {
		t.Error(err)
	}
}

func TestRemoveInUse(t *testing.T) {
	b := newBench(t)
	id := b.have(archive.Options{Names: []string{"busybox"}})
	b.running = []string{"0123456789abcdef"}
	if _, err := b.Remove(b.ctx, "busybox", false, false); !errdefs.IsConflict(err) {
		t.Error(err)
	}
	got, err := b.Remove(b.ctx, "busybox", true, false)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, []image.DeleteResponse{{Untagged: "busybox:latest"}})
	same(t, b.known(), []string{"moby-dangling@" + id})
	b.running = nil
	if got, err = b.Remove(b.ctx, id[:20], false, false); err != nil {
		t.Fatal(err)
	}
	same(t, got, []image.DeleteResponse{{Deleted: id}})
	same(t, b.known(), nil)
}

func TestRemovePlatforms(t *testing.T) {
	r, b := startRegistry(t, false), newBench(t)
	arm, amd := ocispec.Platform{OS: "linux", Architecture: "arm64"}, ocispec.Platform{OS: "linux", Architecture: "amd64"}
	m1, m2 := r.push("x", "amd", archive.Options{}), r.push("x", "arm", archive.Options{Platform: arm, Layers: 1})
	r.pushIndex("x", "all", m1, m2)
	ref := r.host + "/x:all"
	for _, p := range []*ocispec.Platform{nil, &arm} {
		if _, err := b.fetched(ref, PullOptions{Platform: p}); err != nil {
			t.Fatal(err)
		}
	}
	b.told()
	b.running = []string{"c"}
	for name, c := range map[string]struct {
		ps   []ocispec.Platform
		is   func(error) bool
		want string
	}{
		"in use":   {[]ocispec.Platform{amd}, errdefs.IsConflict, "cannot be forced"},
		"the last": {[]ocispec.Platform{arm, amd}, errdefs.IsConflict, "cannot be forced"},
		"no such":  {[]ocispec.Platform{{OS: "linux", Architecture: "s390x"}}, errdefs.IsNotFound, "does not provide the specified platform (linux/s390x)"},
	} {
		if _, err := b.RemovePlatforms(b.ctx, ref, c.ps, true); !c.is(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	removed, err := b.RemovePlatforms(b.ctx, ref, []ocispec.Platform{arm}, false)
	if err != nil || len(removed) != 1 || removed[0].Deleted != m2.Digest.String() {
		t.Fatal(removed, err)
	}
	blobs, snaps, _ := b.count()
	is(t, blobs, 1+3)
	is(t, snaps, 1)
	if _, _, _, err := b.Resolve(b.ctx, ref, &arm); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	b.running = nil
	if _, err := b.RemovePlatforms(b.ctx, ref, []ocispec.Platform{amd}, true); !errdefs.IsConflict(err) || !strings.Contains(err.Error(), "remove the image itself") {
		t.Error(err)
	}
	// A pull brings it back.
	if _, err := b.fetched(ref, PullOptions{Platform: &arm}); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := b.Resolve(b.ctx, ref, &arm); err != nil {
		t.Error(err)
	}
}
