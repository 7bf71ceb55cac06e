package images

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// progressInterval is how often the bytes of one layer are told.
const progressInterval = 100 * time.Millisecond

// reporter writes Docker's progress stream of a pull.
type reporter struct {
	send func(jsonstream.Message) error
	fail func(error) // called when send does, which ends the pull

	mu     sync.Mutex // guards what follows, and keeps messages whole
	layers map[digest.Digest]*layerProgress
	quiet  bool // nothing about layers: all were here
}

type layerProgress struct {
	fetched bool
	done    bool
	told    time.Time
}

func newReporter(send func(jsonstream.Message) error, fail func(error)) *reporter {
	return &reporter{send: send, fail: fail, layers: map[digest.Digest]*layerProgress{}}
}

func (r *reporter) tellLocked(m jsonstream.Message) {
	if err := r.send(m); err != nil {
		r.fail(err)
	}
}

// message sends a line, of a layer or tag if id is given.
func (r *reporter) message(id, status string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tellLocked(jsonstream.Message{ID: id, Status: status})
}

// layer changes the state of a layer and tells it, unless change refuses.
func (r *reporter) layer(id digest.Digest, status string, p *jsonstream.Progress, change func(*layerProgress) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.layers[id]
	if l == nil {
		l = &layerProgress{}
		r.layers[id] = l
	}
	if !change(l) || r.quiet {
		return
	}
	r.tellLocked(jsonstream.Message{ID: shortID(id.String()), Status: status, Progress: p})
}

func always(*layerProgress) bool { return true }

// announce tells the layers of a manifest. If all blobs of it are here, there
// is nothing to be told of them.
func (r *reporter) announce(layers []ocispec.Descriptor, here bool) {
	r.mu.Lock()
	r.quiet = here
	r.mu.Unlock()
	for _, l := range layers {
		if images.IsLayerType(l.MediaType) {
			r.layer(l.Digest, "Pulling fs layer", &jsonstream.Progress{}, always)
		}
	}
}

// have tells that a layer's blob is complete.
func (r *reporter) have(id digest.Digest) {
	r.mu.Lock()
	l := r.layers[id]
	fetched := l != nil && l.fetched
	r.mu.Unlock()
	status := "Already exists"
	if fetched {
		status = "Download complete"
	}
	r.layer(id, status, &jsonstream.Progress{HideCounts: true}, always)
}

func (r *reporter) downloading(desc ocispec.Descriptor, n int64) {
	now := time.Now()
	p := &jsonstream.Progress{Current: n, Total: desc.Size}
	r.layer(desc.Digest, "Downloading", p, func(l *layerProgress) bool {
		l.fetched = true
		if n < desc.Size && now.Sub(l.told) < progressInterval {
			return false
		}
		l.told = now
		return true
	})
}

// complete tells once that a layer is unpacked.
func (r *reporter) complete(id digest.Digest) {
	r.layer(id, "Pull complete", &jsonstream.Progress{HideCounts: true}, func(l *layerProgress) bool {
		was := l.done
		l.done = true
		return !was
	})
}

// finish completes the layers whose snapshots existed before.
func (r *reporter) finish() {
	r.mu.Lock()
	var rest []digest.Digest
	for id, l := range r.layers {
		if l.fetched && !l.done {
			rest = append(rest, id)
		}
	}
	r.mu.Unlock()
	for _, id := range rest {
		r.complete(id)
	}
}

// countingApplier tells when layers are extracted.
type countingApplier struct {
	diff.Applier
	out *reporter
}

func (a countingApplier) Apply(ctx context.Context, desc ocispec.Descriptor, mounts []mount.Mount, opts ...diff.ApplyOpt) (ocispec.Descriptor, error) {
	// Seconds are all that is known of an extraction; Docker begins with 1.
	a.out.layer(desc.Digest, "Extracting", &jsonstream.Progress{Current: 1, Units: "s"}, always)
	d, err := a.Applier.Apply(ctx, desc, mounts, opts...)
	if err == nil {
		a.out.complete(desc.Digest)
	}
	return d, err
}

// countingFetcher tells what is downloaded. (containerd's fetcher itself cuts
// off a registry that sends more than the descriptor says.)
type countingFetcher struct {
	remotes.Fetcher
	out *reporter
}

func (f countingFetcher) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	rc, err := f.Fetcher.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	return &countingReader{ReadCloser: rc, desc: desc, out: f.out}, nil
}

type countingReader struct {
	io.ReadCloser
	desc ocispec.Descriptor
	out  *reporter
	at   int64
}

func (r *countingReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.at += int64(n)
	if n > 0 && images.IsLayerType(r.desc.MediaType) {
		r.out.downloading(r.desc, r.at)
	}
	return n, err
}

// Seek lets an interrupted download go on where it stopped.
func (r *countingReader) Seek(offset int64, whence int) (int64, error) {
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
