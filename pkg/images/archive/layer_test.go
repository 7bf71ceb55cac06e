package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"io"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/decompress"
	"github.com/berth-engine/berth/pkg/decompress/compressors"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// tarOf is a tar of one file.
func tarOf(t testing.TB, data string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestWriteLayer(t *testing.T) {
	data := tarOf(t, strings.Repeat("some text, ", 1<<16))
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		in    []byte
		media string
		kept  bool
	}{
		"plain":            {data, ocispec.MediaTypeImageLayerGzip, false},
		"gzip":             {z.Bytes(), ocispec.MediaTypeImageLayerGzip, true},
		"zstd":             {compressors.Pipe(t, data, "zstd"), ocispec.MediaTypeImageLayerZstd, true},
		"bzip2":            {compressors.Pipe(t, data, "bzip2"), ocispec.MediaTypeImageLayerGzip, false},
		"xz":               {compressors.Pipe(t, data, "xz"), ocispec.MediaTypeImageLayerGzip, false},
		"xz of two blocks": {compressors.Pipe(t, data, "xz", "-C", "sha256", "--block-size=400000"), ocispec.MediaTypeImageLayerGzip, false},
		"xz with crc32":    {compressors.Pipe(t, data, "xz", "-C", "crc32"), ocispec.MediaTypeImageLayerGzip, false},
		"xz without check": {compressors.Pipe(t, data, "xz", "-C", "none", "-9"), ocispec.MediaTypeImageLayerGzip, false},
		"xz, two streams":  {append(append(compressors.Pipe(t, data[:1000], "xz"), 0, 0, 0, 0), compressors.Pipe(t, data[1000:], "xz")...), ocispec.MediaTypeImageLayerGzip, false},
	} {
		t.Run(name, func(t *testing.T) {
			store := emptyStore(t)
			desc, diffID, err := WriteLayer(t.Context(), store, bytes.NewReader(c.in), nil)
			if err != nil {
				t.Fatal(err)
			}
			if diffID != digest.FromBytes(data) || desc.MediaType != c.media || (desc.Digest == digest.FromBytes(c.in)) != c.kept {
				t.Errorf("%+v, diff ID %s", desc, diffID)
			}
			stored, err := content.ReadBlob(t.Context(), store, desc)
			if err != nil {
				t.Fatal(err)
			}
			r, err := decompress.Open(bytes.NewReader(stored))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

func emptyStore(t testing.TB) content.Store {
	t.Helper()
	store, err := local.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// TestWriteLayerBroken: errors are the client's fault and leave nothing.
func TestWriteLayerBroken(t *testing.T) {
	data := tarOf(t, strings.Repeat("some text, ", 1<<16))
	xz := compressors.Pipe(t, data, "xz")
	huge := bytes.Clone(xz) // asks for a dictionary of 4 GiB
	huge[12+4] = 40
	binary.LittleEndian.PutUint32(huge[20:], crc32.ChecksumIEEE(huge[12:20]))
	flipped := bytes.Clone(xz)
	flipped[len(xz)/2] ^= 1
	for name, in := range map[string][]byte{
		"text": []byte(strings.Repeat("no tar", 1000)), "short": []byte("x"),
		"gzip cut": compressors.Pipe(t, data, "gzip")[:200], "gzip of text": compressors.Pipe(t, []byte("text"), "gzip"),
		"zstd cut": compressors.Pipe(t, data, "zstd")[:30], "zstd of text": compressors.Pipe(t, []byte("text"), "zstd"),
		"xz cut": xz[:len(xz)/2], "xz without end": xz[:len(xz)-20], "xz flipped": flipped, "xz huge": huge, "xz head": xz[:10],
		"bzip2 broken": []byte("BZh9" + strings.Repeat("x", 100)),
		"xz filtered":  compressors.Pipe(t, data, "xz", "--x86", "--lzma2"),
	} {
		t.Run(name, func(t *testing.T) {
			store := emptyStore(t)
			_, _, err := WriteLayer(t.Context(), store, bytes.NewReader(in), nil)
			if !errdefs.IsInvalidArgument(err) {
				t.Error(err)
			}
			left, err := store.ListStatuses(t.Context(), "")
			if err != nil || len(left) > 0 {
				t.Errorf("%v are left, %v", left, err)
			}
		})
	}
}
