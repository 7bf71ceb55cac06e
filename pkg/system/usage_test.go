package system

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
)

func TestSums(t *testing.T) {
	containers := []container.Summary{{State: "running", SizeRw: 1}, {State: "exited", SizeRw: 2}, {State: "paused", SizeRw: 4}, {State: "created"}}
	images := []image.Summary{{Containers: 1, Size: 10, SharedSize: 4}, {Size: 20, SharedSize: 4}}
	volumes := []volume.Volume{{UsageData: &volume.UsageData{Size: 1, RefCount: 1}}, {UsageData: &volume.UsageData{Size: 2}}, {UsageData: &volume.UsageData{Size: -1}}, {}}
	cache := []build.CacheRecord{{Size: 1, InUse: true}, {Size: 2}, {Size: 4, Shared: true}}
	for _, c := range []struct{ got, want any }{
		{containerUsage(containers), &container.DiskUsage{Items: containers, TotalCount: 4, ActiveCount: 2, TotalSize: 7, Reclaimable: 2}},
		{imageUsage(images, 26), &image.DiskUsage{Items: images, TotalCount: 2, ActiveCount: 1, TotalSize: 26, Reclaimable: 20}},
		{volumeUsage(volumes), &volume.DiskUsage{Items: volumes, TotalCount: 4, ActiveCount: 1, TotalSize: 3, Reclaimable: 2}},
		{cacheUsage(cache), &build.DiskUsage{Items: cache, TotalCount: 3, ActiveCount: 1, TotalSize: 3, Reclaimable: 2}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %+v, want %+v", c.got, c.want)
		}
	}
}

// Who asks while a measurement is under way gets its result; who comes after
// gets a new one; who leaves does not end it.
func TestMeasurementsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken, goOn := 0, make(chan struct{})
		s := New(Config{Disk: Disk{Volumes: func(ctx context.Context) ([]volume.Volume, error) {
			taken++
			<-goOn
			return nil, ctx.Err()
		}}})
		ask := func(ctx context.Context) <-chan error {
			done := make(chan error, 1)
			go func() {
				u, err := s.Usage(ctx, []system.DiskUsageObject{system.VolumeObject})
				if err == nil && (u.VolumeUsage == nil || u.ImageUsage != nil) {
					err = errors.New("not what was asked for")
				}
				done <- err
			}()
			synctest.Wait() // it waits for the measurement
			return done
		}
		ctx, leave := context.WithCancel(t.Context())
		first, second := ask(ctx), ask(t.Context())
		leave()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		goOn <- struct{}{}
		if err := <-second; err != nil {
			t.Error(err)
		}
		third := ask(t.Context())
		goOn <- struct{}{}
		if err := <-third; err != nil {
			t.Error(err)
		}
		if taken != 2 {
			t.Errorf("measured %d times", taken)
		}
	})
}
