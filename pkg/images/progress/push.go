package progress

import (
	"context"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// pushed tells the state of a layer; other blobs are not told of.
func (r *Reporter) pushed(desc ocispec.Descriptor, status string) {
	if images.IsLayerType(desc.MediaType) {
		r.tell(desc.Digest, status, plain(), always)
	}
}

// Waiting tells that a layer is going to be pushed.
func (r *Reporter) Waiting(desc ocispec.Descriptor) { r.pushed(desc, "Waiting") }

func (r *Reporter) pushing(desc ocispec.Descriptor, n int64) {
	if images.IsLayerType(desc.MediaType) {
		r.bytes(desc.Digest, "Pushing", n, desc.Size, func(*layer) {})
	}
}

// Pusher is p, telling what is uploaded, and what need not be. tracker is p's own.
func (r *Reporter) Pusher(p remotes.Pusher, tracker docker.StatusTracker) remotes.Pusher {
	return pusher{p, tracker, r}
}

type pusher struct {
	remotes.Pusher
	tracker docker.StatusTracker
	out     *Reporter
}

func (p pusher) Push(ctx context.Context, desc ocispec.Descriptor) (content.Writer, error) {
	w, err := p.Pusher.Push(ctx, desc)
	if err == nil {
		return &writer{Writer: w, desc: desc, out: p.out}, nil
	}
	if errdefs.IsAlreadyExists(err) {
		status := "Layer already exists"
		if st, terr := p.tracker.GetStatus(remotes.MakeRefKey(ctx, desc)); terr == nil && st.MountedFrom != "" {
			_, repository, _ := strings.Cut(st.MountedFrom, "/") // after the host
			status = "Mounted from " + repository
		}
		p.out.pushed(desc, status)
	}
	return nil, err
}

type writer struct {
	content.Writer
	desc ocispec.Descriptor
	out  *Reporter
	at   int64
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.at += int64(n)
	if err == nil {
		w.out.pushing(w.desc, w.at)
	} else {
		w.at = 0 // it is sent again, from the start
	}
	return n, err
}

func (w *writer) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	err := w.Writer.Commit(ctx, size, expected, opts...)
	if err == nil {
		w.out.pushed(w.desc, "Pushed")
	}
	return err
}
