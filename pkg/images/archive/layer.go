package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/berth-engine/berth/pkg/decompress"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const bufferSize = 256 << 10

// WriteLayer stores a tar as a layer and returns its descriptor and the digest
// of the tar itself (its diff ID). What is compressed by gzip or zstd is stored as
// it is, all else is compressed by gzip: these two are what registries and other
// engines take. InvalidArgument for what is no tar. The context should carry a
// lease.
//
// unpack, if it is not nil, gets the tar itself while it is stored. It has returned
// when WriteLayer does; its errors are its own business, and what it leaves of the tar
// is read for it.
func WriteLayer(ctx context.Context, store content.Store, r io.Reader, unpack func(io.Reader)) (ocispec.Descriptor, digest.Digest, error) {
	b := bufio.NewReaderSize(&interrupted{ctx, r}, bufferSize)
	format, err := decompress.Sniff(b)
	if err != nil {
		return ocispec.Descriptor{}, "", readError(err, false)
	}
	ref := "berth-layer-" + uuid.NewString()
	w, err := content.OpenWriter(ctx, store, content.WithRef(ref))
	if err != nil {
		return ocispec.Descriptor{}, "", fmt.Errorf("store layer: %w", err)
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip}
	out := &flushed{Writer: w}
	var diffID digest.Digest
	switch format {
	case decompress.Zstd:
		desc.MediaType = ocispec.MediaTypeImageLayerZstd
		diffID, err = keep(out, b, unpack)
	case decompress.Gzip:
		diffID, err = keep(out, b, unpack)
	default:
		diffID, err = compress(out, b, unpack)
	}
	out.wait()
	if err == nil {
		desc, err = commit(ctx, w, desc)
	}
	w.Close()
	if err != nil {
		_ = store.Abort(context.WithoutCancel(ctx), ref) // the lease's end does it otherwise
		return ocispec.Descriptor{}, "", err
	}
	return desc, diffID, nil
}

func commit(ctx context.Context, w content.Writer, desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	st, err := w.Status()
	if err != nil {
		return desc, fmt.Errorf("store layer: %w", err)
	}
	desc.Digest, desc.Size = w.Digest(), st.Offset
	if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return desc, fmt.Errorf("store layer: %w", err)
	}
	return desc, nil
}

// compress writes the tar inside r by gzip and returns the tar's digest.
func compress(w io.Writer, r io.Reader, unpack func(io.Reader)) (digest.Digest, error) {
	plain, err := decompress.Open(r)
	if err != nil {
		return "", readError(err, false)
	}
	defer plain.Close()
	// A commit is waited for, and its layer pushed at most a few times.
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return "", err
	}
	side := beside(func(r io.Reader) (digest.Digest, error) { return digestTar(r, unpack) })
	id, err := side.copy(z, plain)
	if err != nil {
		return "", err
	}
	return id, z.Close()
}

// keep writes r as it is and returns the digest of the tar inside.
func keep(w io.Writer, r io.Reader, unpack func(io.Reader)) (digest.Digest, error) {
	side := beside(func(r io.Reader) (digest.Digest, error) {
		plain, err := decompress.Open(r)
		if err != nil {
			return "", readError(err, false)
		}
		defer plain.Close()
		return digestTar(plain, unpack)
	})
	return side.copy(w, r)
}

// digestTar reads a tar to its end and returns its digest. Only the first header
// is looked at here, to tell what is no tar at all: the rest is for those who
// unpack it.
func digestTar(r io.Reader, unpack func(io.Reader)) (digest.Digest, error) {
	b := bufio.NewReaderSize(r, bufferSize)
	first, err := b.Peek(512)
	if err != nil && err != io.EOF {
		return "", readError(err, false)
	}
	if _, err := tar.NewReader(bytes.NewReader(first)).Next(); len(first) > 0 && (errors.Is(err, tar.ErrHeader) || len(first) < 512) {
		return "", invalid("invalid layer: it is no tar archive")
	}
	digester := digest.Canonical.Digester()
	whole := io.TeeReader(b, digester.Hash())
	if unpack != nil {
		unpack(whole)
	}
	if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{whole}, make([]byte, bufferSize)); err != nil {
		return "", readError(err, false)
	}
	return digester.Digest(), nil
}
