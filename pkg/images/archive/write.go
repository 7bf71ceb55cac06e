package archive

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"

	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Export is one image to be written.
type Export struct {
	Names  []string           // canonical, with tags; none for an image saved by ID
	Target ocispec.Descriptor // index or manifest
	// Run is the manifest that manifest.json tells of, for readers that know
	// one platform only; nil leaves the image out of it.
	Run   *ocispec.Descriptor
	Blobs []ocispec.Descriptor // all to be written, the target among them
}

// Write writes images as one archive, as docker save does: an OCI layout with
// a manifest.json beside it that old readers know. Blobs are verified while
// they are written, DataLoss if one is broken. What was written before an error
// is no archive.
func Write(ctx context.Context, store content.Provider, w io.Writer, list []Export) error {
	index, err := layoutIndex(list)
	if err != nil {
		return err
	}
	manifest, err := dockerManifests(ctx, store, list)
	if err != nil {
		return err
	}
	layout, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	if err := writeBlobs(ctx, store, tw, list); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{ocispec.ImageIndexFile, index}, {"manifest.json", manifest}, {ocispec.ImageLayoutFile, layout}} {
		if err := tw.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if _, err := tw.Write(f.data); err != nil {
			return err
		}
	}
	return tw.Close()
}

// layoutIndex is index.json: an entry for each name, in the annotations of
// which the OCI layout has the tag and containerd the whole name.
func layoutIndex(list []Export) ([]byte, error) {
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	for _, e := range list {
		if len(e.Names) == 0 {
			index.Manifests = append(index.Manifests, target(e.Target))
		}
		for _, name := range e.Names {
			d := target(e.Target)
			d.Annotations = map[string]string{images.AnnotationImageName: name}
			if tagged, ok := parseNamed(name).(reference.Tagged); ok {
				d.Annotations[ocispec.AnnotationRefName] = tagged.Tag()
			}
			index.Manifests = append(index.Manifests, d)
		}
	}
	return json.Marshal(index)
}

func parseNamed(name string) reference.Named {
	named, err := reference.ParseNamed(name)
	if err != nil {
		return nil
	}
	return named
}

// dockerManifests is manifest.json.
func dockerManifests(ctx context.Context, store content.Provider, list []Export) ([]byte, error) {
	out := []dockerManifest{}
	at := map[digest.Digest]int{}
	for _, e := range list {
		if e.Run == nil {
			continue
		}
		i, ok := at[e.Run.Digest]
		if !ok {
			m, err := exported(ctx, store, *e.Run)
			if err != nil {
				return nil, err
			}
			i = len(out)
			at[e.Run.Digest] = i
			out = append(out, m)
		}
		for _, name := range e.Names {
			if named := parseNamed(name); named != nil {
				out[i].RepoTags = append(out[i].RepoTags, reference.FamiliarString(named))
			}
		}
	}
	return json.Marshal(out)
}

func exported(ctx context.Context, store content.Provider, desc ocispec.Descriptor) (dockerManifest, error) {
	children, err := blob.Children(ctx, store, desc)
	if err != nil {
		return dockerManifest{}, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	m := dockerManifest{Config: blobName(children[0].Digest), Layers: []string{}}
	for _, l := range children[1:] {
		m.Layers = append(m.Layers, blobName(l.Digest))
	}
	return m, nil
}

func blobName(d digest.Digest) string {
	return path.Join(ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// writeBlobs writes what the images are made of, each blob once.
func writeBlobs(ctx context.Context, store content.Provider, tw *tar.Writer, list []Export) error {
	all := map[string]ocispec.Descriptor{}
	dirs := map[string]bool{ocispec.ImageBlobsDir + "/": true}
	for _, e := range list {
		for _, d := range e.Blobs {
			name := blobName(d.Digest)
			all[name] = d
			dirs[path.Dir(name)+"/"] = true
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if err := tw.WriteHeader(&tar.Header{Name: dir, Mode: 0o755, Typeflag: tar.TypeDir}); err != nil {
			return err
		}
	}
	buf := make([]byte, 1<<20)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		desc := all[name]
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: desc.Size, Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		if err := copyBlob(ctx, store, tw, desc, buf); err != nil {
			return err
		}
	}
	return nil
}

// copyBlob writes a blob and verifies it on the way.
func copyBlob(ctx context.Context, store content.Provider, w io.Writer, desc ocispec.Descriptor, buf []byte) error {
	ra, err := store.ReaderAt(ctx, ocispec.Descriptor{Digest: desc.Digest, Size: desc.Size})
	if err != nil {
		return fmt.Errorf("read %s: %w", desc.Digest, err)
	}
	defer ra.Close()
	verifier := desc.Digest.Verifier()
	r := &interrupted{ctx, io.NewSectionReader(ra, 0, desc.Size)}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(w, verifier)}, r, buf)
	if err != nil {
		return fmt.Errorf("write %s: %w", desc.Digest, err)
	}
	if n != desc.Size || !verifier.Verified() {
		return errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("content of %s is broken", desc.Digest))
	}
	return nil
}

// interrupted ends a copy with its context.
type interrupted struct {
	ctx context.Context
	r   io.Reader
}

func (i *interrupted) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.r.Read(p)
}
