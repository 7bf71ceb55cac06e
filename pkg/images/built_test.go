package images

import (
	"bytes"
	"strconv"
	"sync"
	"testing"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	made "github.com/berth-engine/berth/pkg/images/archive"
)

// TestBuiltAtOnce: images that are built at the same time by one name, as the services of
// a compose file that share an image, take it from each other, and none is ever missing.
func TestBuiltAtOnce(t *testing.T) {
	b := newBench(t)
	const images = 24
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range images {
		data, _ := sample(t, archive.Options{User: strconv.Itoa(i)})
		// As a builder does: the content is written under a lease, and has no name yet.
		ctx, done, err := b.keeper.Lease(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { done(true) })
		found, err := made.Read(ctx, b.client.ContentStore(), bytes.NewReader(data), nil)
		if err == nil {
			err = b.adopt(ctx, found, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			<-begin
			target := found[0].Target
			if err := (Sink{b.Store}).Built(ctx, []string{"same"}, target); err != nil {
				t.Error(err)
			}
			if b.Catalog.View().Targets[target.Digest] == nil {
				t.Error("an image that was just built is not known")
			}
		})
	}
	close(begin)
	all.Wait()
	is(t, len(b.known()), images)
}
