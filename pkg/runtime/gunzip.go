package runtime

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/berth-engine/berth/pkg/decompress"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/typeurl/v2"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// gunzip has the embedded containerd unpack layers that are compressed by gzip with
// our decompressor, which takes half the time of the standard library's: most of what
// a pull costs. containerd would otherwise execute unpigz or igzip, if the host has
// them. Its list of processors is for the whole process, and must not change while
// something is unpacked: once, before containerd starts.
var gunzip = sync.OnceFunc(func() {
	diff.RegisterProcessor(func(ctx context.Context, mediaType string) (diff.StreamProcessorInit, bool) {
		if c, err := images.DiffCompression(ctx, mediaType); err != nil || c != "gzip" && c != "unknown" {
			return nil, false
		}
		return func(_ context.Context, stream diff.StreamProcessor, _ map[string]typeurl.Any) (diff.StreamProcessor, error) {
			plain, err := decompress.OpenFile(stream)
			if err != nil {
				return nil, err
			}
			return layer{plain}, nil
		}, true
	})
})

// layer is what is inside a compressed one.
type layer struct{ io.ReadCloser }

// Read has errors in the words of the format alone, as containerd's own processors do, and
// not two of them in one: those are told twice when they leave containerd.
func (l layer) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if errors.Is(err, decompress.ErrBroken) {
		err = errors.New(strings.TrimPrefix(err.Error(), decompress.ErrBroken.Error()+": "))
	}
	return n, err
}

func (layer) MediaType() string { return ocispec.MediaTypeImageLayer }
