package images

import (
	"testing"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/berth-engine/berth/pkg/filters"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/errdefs"
)

// prune prunes and returns the IDs of the images that are gone.
func (b *bench) prune(a filters.Args) (gone []string, reclaimed uint64) {
	b.t.Helper()
	report, err := b.Prune(b.ctx, a)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, d := range report.ImagesDeleted {
		if d.Deleted != "" {
			gone = append(gone, d.Deleted)
		}
	}
	return gone, report.SpaceReclaimed
}

func TestPrune(t *testing.T) {
	b := newBench(t)
	nameless := b.have(archive.Options{Layers: 1, LayerSize: 200000})
	named := b.have(archive.Options{Names: []string{"x:1", "x:2"}, Layers: 2, LayerSize: 200000, Labels: map[string]string{"a": "b"}})
	blobs, snaps, _ := b.left()
	before, _ := b.List(b.ctx, catalog.ListOptions{})
	gone, reclaimed := b.prune(nil)
	same(t, gone, []string{nameless})
	// The layers are those of the other image too: manifest and configuration go.
	if reclaimed == 0 || reclaimed > 10000 {
		t.Errorf("%d bytes reclaimed", reclaimed)
	}
	nowBlobs, nowSnaps, _ := b.count()
	is(t, nowBlobs, blobs-2)
	is(t, nowSnaps, snaps)
	if gone, reclaimed = b.prune(nil); len(gone) > 0 || reclaimed > 0 {
		t.Errorf("pruned %v, %d bytes", gone, reclaimed)
	}
	b.told()

	b.stopped = []string{"c"}
	if gone, _ = b.prune(filters.Args{"dangling": {"false"}}); len(gone) > 0 {
		t.Errorf("an image in use was pruned: %v", gone)
	}
	same(t, b.told(), []string{"prune  "})
	b.stopped = nil
	for _, a := range []filters.Args{
		{"dangling": {"0"}, "label": {"a=c"}}, {"dangling": {"0"}, "label!": {"a"}}, {"dangling": {"0"}, "until": {"2020-01-01"}},
		{"dangling": {"true"}, "label": {"a"}},
	} {
		if gone, _ = b.prune(a); len(gone) > 0 {
			t.Errorf("%v pruned %v", a, gone)
		}
	}
	b.told()
	gone, reclaimed = b.prune(filters.Args{"dangling": {"false"}, "label": {"a=b"}, "until": {"1h"}})
	same(t, gone, []string{named})
	for _, sum := range before {
		if sum.ID == named && reclaimed != uint64(sum.Size) {
			t.Errorf("%d bytes reclaimed of %d", reclaimed, sum.Size)
		}
	}
	same(t, b.told(), []string{"untag " + named + " x:1", "untag " + named + " x:2", "delete " + named + " " + named, "prune  "})
	nowBlobs, nowSnaps, _ = b.count()
	is(t, nowBlobs+nowSnaps, 0)
}

func TestPruneErrors(t *testing.T) {
	b := newBench(t)
	for _, a := range []filters.Args{{"reference": {"x"}}, {"dangling": {"maybe"}}, {"until": {"soon"}}} {
		if _, err := b.Prune(b.ctx, a); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v: %v", a, err)
		}
	}
	b.pruning.Lock()
	defer b.pruning.Unlock()
	if _, err := b.Prune(b.ctx, nil); !errdefs.IsConflict(err) {
		t.Error(err)
	}
}
