package images

import (
	"context"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// pushed tells how far the upload of a layer is; other blobs are not told of.
func (r *reporter) pushed(desc ocispec.Descriptor, status string, p *jsonstream.Progress) {
	if images.IsLayerType(desc.MediaType) {
		r.layer(desc.Digest, status, p, always)
	}
}

func (r *reporter) waiting(desc ocispec.Descriptor) {
	r.pushed(desc, "Waiting", &jsonstream.Progress{HideCounts: true})
}

func (r *reporter) pushing(desc ocispec.Descriptor, n int64) {
	if !images.IsLayerType(desc.MediaType) {
		return
	}
	now := time.Now()
	r.layer(desc.Digest, "Pushing", &jsonstream.Progress{Current: n, Total: desc.Size}, func(l *layerProgress) bool {
		if n < desc.Size && now.Sub(l.told) < progressInterval {
			return false
		}
		l.told = now
		return true
	})
}

// countingPusher tells what is uploaded, and what need not be.
type countingPusher struct {
	remotes.Pusher
	tracker docker.StatusTracker
	out     *reporter
}

func (p countingPusher) Push(ctx context.Context, desc ocispec.Descriptor) (content.Writer, error) {
	w, err := p.Pusher.Push(ctx, desc)
	if err == nil {
		return &countingWriter{Writer: w, desc: desc, out: p.out}, nil
	}
	if errdefs.IsAlreadyExists(err) {
		status := "Layer already exists"
		if st, terr := p.tracker.GetStatus(remotes.MakeRefKey(ctx, desc)); terr == nil && st.MountedFrom != "" {
			_, repository, _ := strings.Cut(st.MountedFrom, "/") // after the host
			status = "Mounted from " + repository
		}
		p.out.pushed(desc, status, &jsonstream.Progress{HideCounts: true})
	}
	return nil, err
}

type countingWriter struct {
	content.Writer
	desc ocispec.Descriptor
	out  *reporter
	at   int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.at += int64(n)
	if err == nil {
		w.out.pushing(w.desc, w.at)
	} else {
		w.at = 0 // it is sent again, from the start
	}
	return n, err
}

func (w *countingWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...content.Opt) error {
	err := w.Writer.Commit(ctx, size, expected, opts...)
	if err == nil {
		w.out.pushed(w.desc, "Pushed", &jsonstream.Progress{HideCounts: true})
	}
	return err
}
