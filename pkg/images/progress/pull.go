package progress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Announce tells the layers of a manifest, which are there if here says so. If
// all of it is, there is nothing to be told of them. Those that come after the
// first downloads wait for their turn.
func (r *Reporter) Announce(children []ocispec.Descriptor, here func(digest.Digest) bool, downloads int) {
	var missing []digest.Digest
	complete := true
	for _, c := range children {
		if here(c.Digest) {
			continue
		}
		complete = false
		if images.IsLayerType(c.MediaType) {
			missing = append(missing, c.Digest)
		}
	}
	r.mu.Lock()
	r.quiet = complete
	r.mu.Unlock()
	for _, c := range children {
		if images.IsLayerType(c.MediaType) {
			r.tell(c.Digest, "Pulling fs layer", &jsonstream.Progress{}, always)
		}
	}
	for _, id := range missing[min(downloads, len(missing)):] {
		r.tell(id, "Waiting", &jsonstream.Progress{}, always)
	}
}

// Have tells that a layer's blob is complete.
func (r *Reporter) Have(id digest.Digest) {
	r.mu.Lock()
	l := r.layers[id]
	fetched := l != nil && l.fetched
	r.mu.Unlock()
	status := "Already exists"
	if fetched {
		status = "Download complete"
	}
	r.tell(id, status, plain(), func(l *layer) bool {
		l.here = true
		return true
	})
}

func (r *Reporter) downloading(desc ocispec.Descriptor, n int64) {
	r.bytes(desc.Digest, "Downloading", n, desc.Size, func(l *layer) { l.fetched = true })
	if n == desc.Size {
		r.tell(desc.Digest, "Verifying Checksum", plain(), always)
	}
}

// Retry waits before the next attempt to fetch a blob, and tells every second
// how long it still does.
func (r *Reporter) Retry(ctx context.Context, desc ocispec.Descriptor, delay time.Duration) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	end := time.NewTimer(delay)
	defer end.Stop()
	for left := int(delay.Round(time.Second) / time.Second); ; left-- {
		if images.IsLayerType(desc.MediaType) && left > 0 {
			plural := "s"
			if left == 1 {
				plural = ""
			}
			r.tell(desc.Digest, fmt.Sprintf("Retrying in %d second%s", left, plural), &jsonstream.Progress{}, always)
		}
		select {
		case <-tick.C:
		case <-end.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// complete tells once that a layer is unpacked.
func (r *Reporter) complete(id digest.Digest) {
	r.tell(id, "Pull complete", plain(), func(l *layer) bool {
		was := l.done
		l.done = true
		return !was
	})
}

// Finish completes the layers whose snapshots existed before.
func (r *Reporter) Finish() {
	r.mu.Lock()
	var rest, there []digest.Digest
	for id, l := range r.layers {
		switch {
		case l.fetched && !l.done:
			rest = append(rest, id)
		case !l.done && !l.here:
			there = append(there, id)
		}
	}
	r.mu.Unlock()
	for _, id := range rest {
		r.complete(id)
	}
	for _, id := range there { // unpacked: not even looked for
		r.tell(id, "Already exists", plain(), always)
	}
}

// Applier is a, telling what is extracted.
func (r *Reporter) Applier(a diff.Applier) diff.Applier { return applier{a, r} }

type applier struct {
	diff.Applier
	out *Reporter
}

func (a applier) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, opts ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		a.out.extracting(desc.Digest, stop)
	}()
	d, err := a.Applier.Apply(ctx, desc, mounts, opts...)
	close(stop)
	<-stopped
	if err == nil {
		a.out.complete(desc.Digest)
	}
	return d, err
}

// extracting tells the seconds of an extraction until stop: nothing else is known
// of it. Docker begins with 1.
func (r *Reporter) extracting(id digest.Digest, stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := int64(1); ; n++ {
		r.tell(id, "Extracting", &jsonstream.Progress{Current: n, Units: "s"}, always)
		select {
		case <-tick.C:
		case <-stop:
			return
		}
	}
}

// Fetcher is f, telling what is downloaded. (containerd's fetcher itself cuts
// off a registry that sends more than the descriptor says.)
func (r *Reporter) Fetcher(f remotes.Fetcher) remotes.Fetcher { return fetcher{f, r} }

type fetcher struct {
	remotes.Fetcher
	out *Reporter
}

func (f fetcher) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	rc, err := f.Fetcher.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	return &reader{ReadCloser: rc, desc: desc, out: f.out}, nil
}

type reader struct {
	io.ReadCloser
	desc ocispec.Descriptor
	out  *Reporter
	at   int64
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.at += int64(n)
	if n > 0 && images.IsLayerType(r.desc.MediaType) {
		r.out.downloading(r.desc, r.at)
	}
	return n, err
}

// Seek lets an interrupted download go on where it stopped.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	s, ok := r.ReadCloser.(io.Seeker)
	if !ok {
		return r.at, errors.New("the registry's response cannot be resumed")
	}
	at, err := s.Seek(offset, whence)
	if err == nil {
		r.at = at
	}
	return at, err
}
