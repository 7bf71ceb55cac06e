// Package archive reads image archives — what docker save writes and wrote since
// its first version, and OCI layouts, plain or compressed by gzip, zstd, bzip2 or
// xz — into a content store, and writes such archives.
//
// An archive that is read is hostile until proven otherwise. It is read once, as a stream;
// file contents go straight into blobs, whose digests are verified, and no path
// of the archive is ever used on the host. Documents and counts are bounded.
// What was written before an error is for the caller's lease to give back.
package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/berth-engine/berth/pkg/decompress"
	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of an archive. Docker writes three files and a folder for each layer.
const (
	maxEntries = 1 << 16
	maxName    = 1 << 10
	maxEntry   = 1 << 40 // bytes of one file
	maxImages  = 1000
	maxLayers  = 1 << 12
)

// Image is one image of an archive.
type Image struct {
	Name   string // canonical, with a tag or digest; "" if the archive gives none
	Target ocispec.Descriptor
}

// Read writes the blobs of an archive into store and returns its images, one
// for each name. The context should carry a lease. InvalidArgument for an
// archive that is broken, hostile or no image ("unrecognized image format").
//
// watch, if not nil, is given each file that takes a while to read, with a short
// name and its size in bytes, and returns what is read in its place.
func Read(ctx context.Context, store content.Store, r io.Reader, watch func(id string, size int64, r io.Reader) io.Reader) ([]Image, error) {
	plain, err := decompress.Open(r)
	if err != nil {
		return nil, readError(err, false)
	}
	defer plain.Close()
	s := &scan{store: store, watch: watch, ref: "berth-load-" + uuid.NewString(), blobs: map[string]ocispec.Descriptor{}, links: map[string]string{}}
	if err := s.read(ctx, plain); err != nil {
		return nil, err
	}
	s.resolveLinks()
	switch {
	case s.layout != nil && s.index != nil:
		return s.layoutImages(ctx)
	case s.manifest != nil:
		return s.dockerImages(ctx)
	case s.repositories != nil:
		return s.v1Images(ctx)
	}
	return nil, invalid("unrecognized image format")
}

// scan is what was found in an archive.
type scan struct {
	store content.Store
	ref   string // prefix of the ingests, so that no two readers meet
	count int

	watch func(id string, size int64, r io.Reader) io.Reader

	layout, index, manifest []byte                        // oci-layout, index.json, manifest.json
	repositories            []byte                        // of archives older than manifest.json
	blobs                   map[string]ocispec.Descriptor // by clean name; without media type
	links                   map[string]string             // clean name → clean target
}

func (s *scan) read(ctx context.Context, r io.Reader) error {
	tr := tar.NewReader(r)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		hdr, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return readError(err, s.count == 0)
		}
		if s.count++; s.count > maxEntries {
			return invalid("invalid archive: more than %d entries", maxEntries)
		}
		if err := s.entry(ctx, hdr, tr); err != nil {
			return err
		}
	}
}

// entry takes one entry of the tar in.
func (s *scan) entry(ctx context.Context, hdr *tar.Header, r io.Reader) error {
	name, err := clean(hdr.Name)
	if err != nil {
		return err
	}
	switch hdr.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return nil
	case tar.TypeSymlink:
		// Old docker save writes a layer that images share once, and links to it.
		to, err := clean(path.Join(path.Dir(name), hdr.Linkname))
		if path.IsAbs(hdr.Linkname) || err != nil {
			return invalid("invalid archive: link %q leads out of the archive", hdr.Name)
		}
		s.links[name] = to
		return nil
	case tar.TypeLink:
		to, err := clean(hdr.Linkname)
		if err != nil {
			return err
		}
		s.links[name] = to
		return nil
	case tar.TypeReg:
	default:
		return invalid("invalid archive: %q is neither file, folder nor link", hdr.Name)
	}
	// A sparse file of a few bytes in the archive could claim any size.
	if hdr.Size > maxEntry || hdr.PAXRecords["GNU.sparse.realsize"] != "" || hdr.PAXRecords["GNU.sparse.size"] != "" {
		return invalid("invalid archive: %q is too large or sparse", hdr.Name)
	}
	switch name {
	case ocispec.ImageLayoutFile:
		return document(r, hdr, &s.layout)
	case ocispec.ImageIndexFile:
		return document(r, hdr, &s.index)
	case "manifest.json":
		return document(r, hdr, &s.manifest)
	case "repositories":
		return document(r, hdr, &s.repositories)
	}
	return s.blob(ctx, name, hdr.Size, r)
}

// clean returns a name as archives mean it, relative to their root.
func clean(name string) (string, error) {
	if len(name) > maxName {
		return "", invalid("invalid archive: a name is longer than %d bytes", maxName)
	}
	c := path.Clean(name)
	if path.IsAbs(c) || c == ".." || strings.HasPrefix(c, "../") || strings.ContainsRune(c, 0) {
		return "", invalid("invalid archive: %q leads out of the archive", name)
	}
	return c, nil
}

// document keeps a JSON file in memory.
func document(r io.Reader, hdr *tar.Header, into *[]byte) error {
	if *into != nil {
		return invalid("invalid archive: %s is there twice", hdr.Name)
	}
	if hdr.Size > blob.MaxManifest {
		return invalid("invalid archive: %s is %d bytes long, the limit is %d", hdr.Name, hdr.Size, blob.MaxManifest)
	}
	p, err := io.ReadAll(r)
	if err != nil {
		return readError(err, false)
	}
	*into = p
	return nil
}

// blob writes one file. Under blobs/ its name says what digest it must have.
func (s *scan) blob(ctx context.Context, name string, size int64, r io.Reader) (err error) {
	desc := ocispec.Descriptor{Digest: named(name), Size: size}
	ref := s.ref + "-" + strconv.Itoa(s.count)
	w, err := content.OpenWriter(ctx, s.store, content.WithRef(ref), content.WithDescriptor(desc))
	if errdefs.IsAlreadyExists(err) {
		s.blobs[name] = desc // verified when it was written
		return nil
	}
	if err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	defer func() {
		w.Close()
		if err != nil {
			_ = s.store.Abort(context.WithoutCancel(ctx), ref) // the lease's end does it otherwise
		}
	}()
	st, err := w.Status()
	if err != nil {
		return fmt.Errorf("store %s: %w", name, err)
	}
	// Another namespace of the store may have the blob; the writer is at its
	// end then, and only has to be committed.
	if st.Offset == 0 || desc.Digest == "" || st.Offset != size {
		if s.watch != nil && size >= watched {
			r = s.watch(short(name), size, r)
		}
		if desc.Digest, err = fill(w, desc.Digest, name, r); err != nil {
			return err
		}
	}
	if err := w.Commit(ctx, size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("store %s: %w", name, err)
	}
	s.blobs[name] = desc
	return nil
}

// watched is the least size of files that somebody may want to watch, in bytes.
const watched = 64 << 10

// short is the part of a name that tells files of an archive apart: the beginning
// of the digest or ID in it.
func short(name string) string {
	dir, base := path.Split(name)
	if id := path.Base(dir); base == "layer.tar" && id != "/" {
		base = id
	}
	return base[:min(12, len(base))]
}

// fill writes a file's content and returns its digest, which must be want if
// that is given.
func fill(w content.Writer, want digest.Digest, name string, r io.Reader) (digest.Digest, error) {
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, make([]byte, 1<<20)); err != nil {
		return "", readError(err, false)
	}
	got := w.Digest()
	if want != "" && got != want {
		return "", invalid("invalid archive: content of %s has digest %s", name, got)
	}
	return got, nil
}

// named is the digest that a name under blobs/ claims, "" for other names.
func named(name string) digest.Digest {
	parts := strings.Split(name, "/")
	if len(parts) != 3 || parts[0] != ocispec.ImageBlobsDir || parts[1] != string(digest.SHA256) {
		return ""
	}
	d := digest.NewDigestFromEncoded(digest.SHA256, parts[2])
	if d.Validate() != nil {
		return ""
	}
	return d
}

// resolveLinks makes links into blobs names of those. Links to links and to
// nothing are left out; naming them is an error later.
func (s *scan) resolveLinks() {
	found := map[string]ocispec.Descriptor{}
	for from, to := range s.links {
		if desc, ok := s.blobs[to]; ok {
			found[from] = desc
		}
	}
	for name, desc := range found {
		if _, taken := s.blobs[name]; !taken {
			s.blobs[name] = desc
		}
	}
}

// readError puts an error of the stream into words: what the tar reader or a
// decompressor says is the archive's fault. first: not one entry was read.
func readError(err error, first bool) error {
	var inner interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &inner):
		return err
	case errors.Is(err, tar.ErrHeader) && first:
		return invalid("unrecognized image format")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return invalid("invalid archive: it ends too early")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong), errors.Is(err, decompress.ErrBroken):
		return invalid("invalid archive: %v", err)
	}
	return fmt.Errorf("read archive: %w", err)
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
