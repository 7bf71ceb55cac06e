package images

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// save saves images and returns the archive.
func (b *bench) save(refs []string, ps ...ocispec.Platform) ([]byte, error) {
	var buf bytes.Buffer
	err := b.Save(b.ctx, refs, ps, &buf)
	return buf.Bytes(), err
}

// files are the regular files of a tar.
func files(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for tr := tar.NewReader(bytes.NewReader(data)); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if hdr.Typeflag != tar.TypeReg {
			continue
		}
		if _, twice := out[hdr.Name]; twice {
			t.Errorf("%s is there twice", hdr.Name)
		}
		if out[hdr.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSave(t *testing.T) {
	b := newBench(t)
	first := b.have(archive.Options{Names: []string{"x:1", "x:2", "y:1"}, Layers: 1})
	second := b.have(archive.Options{Names: []string{"z:1"}, Layers: 2}) // shares layers with first
	for name, c := range map[string]struct {
		refs []string
		want string // what a load of it says
	}{
		"tag":            {[]string{"x:1"}, "Loaded image: x:1\n"},
		"repository":     {[]string{"x"}, "Loaded image: x:1\nLoaded image: x:2\n"},
		"several":        {[]string{"z:1", "x:2", "y:1", "x:2"}, "Loaded image: z:1\nLoaded image: x:2\nLoaded image: y:1\n"},
		"id":             {[]string{first}, "Loaded image ID: " + first + "\n"},
		"short id":       {[]string{second[7:19]}, "Loaded image ID: " + second + "\n"},
		"digest":         {[]string{"x@" + first}, "Loaded image ID: " + first + "\n"},
		"name beside id": {[]string{second, "x:1"}, "Loaded image ID: " + second + "\nLoaded image: x:1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := b.save(c.refs)
			if err != nil {
				t.Fatal(err)
			}
			files(t, data)
			said, err := newBench(t).load(data)
			if err != nil {
				t.Fatal(err)
			}
			is(t, said, c.want)
			// Readers that know no OCI layout get the same layers.
			if _, err := newBench(t).load(without(t, data, "oci-layout", "index.json")); err != nil {
				t.Error(err)
			}
		})
	}
	b.told()
	if _, err := b.save([]string{"x", second}); err != nil {
		t.Fatal(err)
	}
	same(t, b.told(), []string{"save " + first + " " + first, "save " + second + " " + second})
	// Nothing holds an image that is not being saved any more.
	if _, err := b.Remove(b.ctx, second, true, false); err != nil {
		t.Fatal(err)
	}
	if blobs, _, _ := b.left(); blobs != 4 {
		t.Errorf("%d blobs are left", blobs)
	}
}

func TestSaveErrors(t *testing.T) {
	b := newBench(t)
	b.have(archive.Options{Names: []string{"x:1"}})
	for ref, is := range map[string]func(error) bool{
		"nix": errdefs.IsNotFound, "x:2": errdefs.IsNotFound, "UPPER": errdefs.IsInvalidArgument, "": errdefs.IsInvalidArgument,
	} {
		if data, err := b.save([]string{"x:1", ref}); !is(err) || len(data) > 0 {
			t.Errorf("%q: %v and %d bytes", ref, err, len(data))
		}
	}
	if _, err := b.save(nil); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
	if data, err := b.save([]string{"x:1"}, ocispec.Platform{OS: "linux", Architecture: "s390x"}); !errdefs.IsNotFound(err) || len(data) > 0 {
		t.Error(err)
	}
	gone := errors.New("client is gone")
	if err := b.Save(b.ctx, []string{"x:1"}, nil, failingWriter{gone}); !errors.Is(err, gone) {
		t.Error(err)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// TestSavePlatforms: of an index that is here in part, and of one platform.
func TestSavePlatforms(t *testing.T) {
	r, b := startRegistry(t, false), newBench(t)
	amd, arm := ocispec.Platform{OS: "linux", Architecture: "amd64"}, ocispec.Platform{OS: "linux", Architecture: "arm64"}
	m1, m2 := r.push("x", "amd", archive.Options{}), r.push("x", "arm", archive.Options{Platform: arm, Layers: 1})
	index := r.pushIndex("x", "all", m2, m1)
	ref := r.host + "/x:all"
	if _, err := b.fetched(ref, PullOptions{}); err != nil {
		t.Fatal(err)
	}
	loaded := func(want string, has ...ocispec.Platform) {
		t.Helper()
		data, err := b.save([]string{ref}, has...)
		if err != nil {
			t.Fatal(err)
		}
		other := newBench(t)
		if _, err := other.load(data); err != nil {
			t.Fatal(err)
		}
		id, _, _, err := other.Resolve(other.ctx, ref, nil)
		if err != nil {
			t.Fatal(err)
		}
		is(t, id, want)
		var list []dockerEntry
		if err := json.Unmarshal(files(t, data)["manifest.json"], &list); err != nil || len(list) != 1 || list[0].RepoTags[0] != ref {
			t.Errorf("%+v %v", list, err)
		}
	}
	loaded(index.String())
	loaded(m1.Digest.String(), amd)
	if _, err := b.save([]string{ref}, arm); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if _, err := b.fetched(ref, PullOptions{Platform: &arm}); err != nil {
		t.Fatal(err)
	}
	loaded(m2.Digest.String(), arm)
	loaded(index.String(), arm, amd)
	loaded(index.String())
}

type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// TestSaveForSkopeo: another client reads both sides of the archive.
func TestSaveForSkopeo(t *testing.T) {
	b := newBench(t)
	b.have(archive.Options{Names: []string{"x:1"}, Layers: 3})
	data, err := b.save([]string{"x:1"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, transport := range []string{"docker-archive:" + file + ":x:1", "oci-archive:" + file + ":1"} {
		out, err := exec.Command("skopeo", "copy", "--quiet", "--insecure-policy", transport, "dir:"+t.TempDir()).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s", transport, err, out)
		}
	}
	out, err := exec.Command("skopeo", "inspect", "docker-archive:"+file).CombinedOutput()
	var seen struct{ Layers []string }
	if err != nil || json.Unmarshal(out, &seen) != nil || len(seen.Layers) != 4 || !strings.Contains(string(out), "amd64") {
		t.Errorf("%v: %s", err, out)
	}
}
