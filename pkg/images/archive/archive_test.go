package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	sample "github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

func busybox(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "busybox")
	if err := os.WriteFile(name, []byte("#!not a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func made(t testing.TB, o sample.Options) ([]byte, digest.Digest) {
	t.Helper()
	var buf bytes.Buffer
	o.Busybox, o.Applets = busybox(t), []string{"sh"}
	id, err := sample.Write(&buf, o)
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), id
}

// linked rewrites an archive as docker 1.10 to 24 wrote it: layers in folders
// of their own, a shared one as a link, and no OCI layout.
func linked(t testing.TB, data []byte, manifest string, names map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(hdr *tar.Header, data []byte) {
		hdr.Size, hdr.Mode = int64(len(data)), 0o644
		if err := w.WriteHeader(hdr); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	add(&tar.Header{Name: "b/layer.tar", Typeflag: tar.TypeSymlink, Linkname: "../a/layer.tar"}, nil)
	r := tar.NewReader(bytes.NewReader(data))
	for {
		hdr, err := r.Next()
		if err != nil {
			break
		}
		p, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if to := names[hdr.Name]; to != "" {
			add(&tar.Header{Name: "./" + to}, p)
		}
	}
	add(&tar.Header{Name: "repositories"}, []byte(`{"x":{"latest":"b"}}`))
	add(&tar.Header{Name: "manifest.json"}, []byte(manifest))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// entries are the names of the blobs, in order: config, layer, manifest.
func entries(t testing.TB, data []byte) (out []string) {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(data))
	for {
		hdr, err := r.Next()
		if err != nil {
			return out
		}
		out = append(out, hdr.Name)
	}
}

func TestOldDockerSave(t *testing.T) {
	data, _ := made(t, sample.Options{})
	e := entries(t, data)
	old := linked(t, data, `[{"Config":"c.json","RepoTags":["x:latest"],"Layers":["a/layer.tar"]},{"Config":"c.json","RepoTags":null,"Layers":["b/layer.tar"]}]`,
		map[string]string{e[0]: "c.json", e[1]: "a/layer.tar"})
	var first digest.Digest
	for range 2 {
		store, err := local.NewStore(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		got, err := Read(context.Background(), store, bytes.NewReader(old), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || got[0].Name != "docker.io/library/x:latest" || got[1].Name != "" || got[0].Target.Digest != got[1].Target.Digest {
			t.Fatalf("%+v", got)
		}
		if first != "" && got[0].Target.Digest != first {
			t.Error("the same archive became two images")
		}
		first = got[0].Target.Digest
		if got[0].Target.MediaType != images.MediaTypeDockerSchema2Manifest {
			t.Error(got[0].Target.MediaType)
		}
	}
}

// FuzzRead: whatever the bytes, there is an answer, of a class that blames the
// archive, and no panic.
func FuzzRead(f *testing.F) {
	data, _ := made(f, sample.Options{Names: []string{"x"}})
	e := entries(f, data)
	f.Add(data)
	f.Add(linked(f, data, `[{"Config":"c.json","RepoTags":["x:latest"],"Layers":["b/layer.tar"]}]`, map[string]string{e[0]: "c.json", e[1]: "a/layer.tar"}))
	f.Add(packed(f, v1(f)))
	f.Add([]byte{0x1f, 0x8b, 8})
	f.Add([]byte("BZh9"))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 4})
	f.Add([]byte{0xfd, '7', 'z', 'X', 'Z', 0})
	store, err := local.NewStore(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Read(context.Background(), store, bytes.NewReader(data), nil)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Fatal(err)
			}
			return
		}
		for _, img := range got {
			if img.Target.Digest.Validate() != nil {
				t.Fatal(img)
			}
		}
	})
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"", "x", "X", "a/b:c", "x@sha256:0", "docker.io/library/x:1", "::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		full, err := canonical(name)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Fatal(err)
			}
			return
		}
		if again, err := canonical(full); err != nil || again != full {
			t.Fatalf("%q became %q, then %q: %v", name, full, again, err)
		}
	})
}
