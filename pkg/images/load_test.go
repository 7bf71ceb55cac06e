package images

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func (b *bench) walkSnapshots(f func()) error {
	return b.Store.client.SnapshotService(b.cfg.Snapshotter).Walk(b.ctx, func(context.Context, snapshots.Info) error { f(); return nil })
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zstded(t *testing.T, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// without drops entries of a tar.
func without(t *testing.T, data []byte, drop ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	r, w := tar.NewReader(bytes.NewReader(data)), tar.NewWriter(&buf)
next:
	for {
		hdr, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range drop {
			if strings.HasPrefix(hdr.Name, d) {
				continue next
			}
		}
		if err := w.WriteHeader(hdr); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestLoad(t *testing.T) {
	data, id := sample(t, archive.Options{Names: []string{"busybox:latest", "example.org/a/b:1"}, Layers: 3, Labels: map[string]string{"a": "b"}})
	old := without(t, data, "oci-layout", "index.json")
	for name, in := range map[string][]byte{"plain": data, "gzip": gzipped(t, data), "zstd": zstded(t, data), "oci": without(t, data, "manifest.json"), "docker": old, "docker gzip": gzipped(t, old)} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			out, err := b.load(in)
			if err != nil {
				t.Fatal(err)
			}
			is(t, out, "Loaded image: busybox:latest\nLoaded image: example.org/a/b:1\n")
			same(t, b.known(), []string{"docker.io/library/busybox:latest", "example.org/a/b:1"})
			got, chain, img, err := b.Resolve(b.ctx, "busybox", nil)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(name, "docker") {
				is(t, got, id.String())
				same(t, b.told(), []string{"load " + id.String() + " " + id.String(), "load " + id.String() + " " + id.String()})
			}
			is(t, strings.Join(img.Config.Cmd, " "), "sh")
			is(t, img.Config.Labels["a"], "b")
			if _, err := b.Store.client.SnapshotService("overlayfs").Stat(b.ctx, chain.String()); err != nil {
				t.Error(err)
			}
			blobs, snaps, ingests := b.left()
			is(t, blobs, 6) // manifest, config, 4 layers: collection takes nothing of it
			is(t, snaps, 4)
			is(t, ingests, 0)
			if out, err = b.load(in); err != nil || !strings.Contains(out, "Loaded image: busybox:latest") {
				t.Error(out, err)
			}
		})
	}
}

func TestLoadWithoutName(t *testing.T) {
	b := newBench(t)
	data, id := sample(t, archive.Options{})
	out, err := b.load(data)
	if err != nil {
		t.Fatal(err)
	}
	is(t, out, "Loaded image ID: "+id.String()+"\n")
	same(t, b.known(), []string{"moby-dangling@" + id.String()})
	if _, _, _, err := b.Resolve(b.ctx, id.Encoded()[:12], nil); err != nil {
		t.Error(err)
	}
	// A name takes the place of the dangling one.
	b.have(archive.Options{Names: []string{"x"}})
	same(t, b.known(), []string{"docker.io/library/x:latest"})
	// And without one again, the name suffices.
	if _, err = b.load(data); err != nil {
		t.Fatal(err)
	}
	same(t, b.known(), []string{"docker.io/library/x:latest"})
}

func TestLoadTakesName(t *testing.T) {
	b := newBench(t)
	first := b.have(archive.Options{Names: []string{"x"}})
	second := b.have(archive.Options{Names: []string{"x"}, Labels: map[string]string{"n": "2"}})
	same(t, b.known(), []string{"docker.io/library/x:latest", "moby-dangling@" + first})
	id, _, _, err := b.Resolve(b.ctx, "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	is(t, id, second)
	if _, _, _, err := b.Resolve(b.ctx, first, nil); err != nil {
		t.Error(err)
	}
}

func TestLoadPlatforms(t *testing.T) {
	b := newBench(t)
	arm := ocispec.Platform{OS: "linux", Architecture: "arm64"}
	data, _ := sample(t, archive.Options{Names: []string{"arm"}, Platform: arm})
	if _, err := b.load(data); err != nil {
		t.Fatal(err)
	}
	discard := func(jsonstream.Message) error { return nil }
	if err := b.Load(b.ctx, bytes.NewReader(data), true, []ocispec.Platform{arm}, discard); err != nil {
		t.Error(err)
	}
	err := b.Load(b.ctx, bytes.NewReader(data), true, []ocispec.Platform{{OS: "linux", Architecture: "s390x"}}, discard)
	if !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	// It is not for this host, yet a container can be made of it.
	if _, _, img, err := b.Resolve(b.ctx, "arm", nil); err != nil || img.Architecture != "arm64" {
		t.Error(img, err)
	}
	_, _, _, err = b.Resolve(b.ctx, "arm", &ocispec.Platform{OS: "linux", Architecture: "amd64"})
	if !errdefs.IsNotFound(err) || err.Error() != "image with reference arm was found but does not provide the specified platform (linux/amd64)" {
		t.Error(err)
	}
}

// TestLoadOnePlatform: of an archive with two, what is not asked for is not here.
func TestLoadOnePlatform(t *testing.T) {
	ref, saved := bothPlatforms(t)
	other := newBench(t)
	if err := other.Load(other.ctx, saved, true, []ocispec.Platform{arm}, func(jsonstream.Message) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for arch, here := range map[string]bool{"arm64": true, "amd64": false} {
		_, err := other.Inspect(other.ctx, ref, catalog.InspectOptions{Platform: &ocispec.Platform{OS: "linux", Architecture: arch}})
		if here && err != nil || !here && !errdefs.IsNotFound(err) {
			t.Errorf("%s: %v", arch, err)
		}
	}
	blobs, _, _ := other.count()
	is(t, blobs, 5) // index, manifest, configuration and two layers
}

var amd, arm = ocispec.Platform{OS: "linux", Architecture: "amd64"}, ocispec.Platform{OS: "linux", Architecture: "arm64"}

// bothPlatforms saves an image of two platforms, amd with two layers and arm with one.
func bothPlatforms(t *testing.T) (ref string, saved *bytes.Buffer) {
	t.Helper()
	r, b := startRegistry(t, false), newBench(t)
	m1, m2 := r.push("x", "amd", archive.Options{Layers: 2}), r.push("x", "arm", archive.Options{Platform: arm, Layers: 1})
	r.pushIndex("x", "all", m1, m2)
	ref = r.host + "/x:all"
	for _, p := range []*ocispec.Platform{nil, &arm} {
		if _, err := b.fetched(ref, PullOptions{Platform: p}); err != nil {
			t.Fatal(err)
		}
	}
	saved = &bytes.Buffer{}
	if err := b.Save(b.ctx, []string{ref}, nil, saved); err != nil {
		t.Fatal(err)
	}
	return ref, saved
}

// TestLoadHostile: whatever is wrong, the error says what, and nothing is left.
func TestLoadHostile(t *testing.T) {
	data, _ := sample(t, archive.Options{Names: []string{"evil:latest"}, Layers: 1})
	// A blob that is nowhere yet; what is in the store is not read again.
	changed, _ := sample(t, archive.Options{User: "changed"})
	changed = bytes.Replace(changed, []byte("sampleimage"), []byte("sampleIMAGE"), 1)
	manifest := `[{"Config":"c.json","RepoTags":["evil:latest"],"Layers":["l.tar"]}]`
	config := `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:` + strings.Repeat("0", 64) + `"]}}`
	layout, index := `{"imageLayoutVersion":"1.0.0"}`, `{"schemaVersion":2,"manifests":[]}`
	file := func(name, data string) tar.Header {
		return tar.Header{Name: name, Linkname: data, Typeflag: tar.TypeReg}
	}
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"empty":           {nil, "unrecognized image format"},
		"text":            {[]byte(strings.Repeat("this is no archive\n", 100)), "unrecognized image format"},
		"zeros":           {make([]byte, 4096), "unrecognized image format"},
		"other tar":       {tarOf(t, file("readme", "hi")), "unrecognized image format"},
		"truncated":       {data[:len(data)/2], "invalid archive: it ends too early"},
		"truncated gzip":  {gzipped(t, data)[:400], "invalid archive: it ends too early"},
		"broken gzip":     {append([]byte{0x1f, 0x8b}, make([]byte, 64)...), "invalid archive: "},
		"layer missing":   {without(t, data, "blobs/sha256/"+layerOf(t, data)), "is missing"},
		"digest":          {changed, "has digest"},
		"escape":          {tarOf(t, file("../../etc/passwd", "x")), "leads out of the archive"},
		"absolute":        {tarOf(t, file("/etc/passwd", "x")), "leads out of the archive"},
		"link out":        {tarOf(t, tar.Header{Name: "a/layer.tar", Typeflag: tar.TypeSymlink, Linkname: "../../../etc/shadow"}), "leads out of the archive"},
		"absolute link":   {tarOf(t, tar.Header{Name: "a/layer.tar", Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}), "leads out of the archive"},
		"device":          {tarOf(t, tar.Header{Name: "sda", Typeflag: tar.TypeBlock}), "neither file, folder nor link"},
		"long name":       {tarOf(t, file(strings.Repeat("n/", 1000), "")), "longer than"},
		"huge json":       {tarOf(t, file("manifest.json", "["+strings.Repeat(" ", 5<<20)+"]")), "the limit is"},
		"huge config":     {tarOf(t, file("manifest.json", manifest), file("c.json", strings.Repeat(" ", 9<<20)), file("l.tar", "")), "the limit is"},
		"bad json":        {tarOf(t, file("manifest.json", "{")), "manifest.json: "},
		"no images":       {tarOf(t, file("manifest.json", "[]")), "lists 0 images"},
		"config missing":  {tarOf(t, file("manifest.json", manifest), file("l.tar", "")), `"c.json" is missing`},
		"config escapes":  {tarOf(t, file("manifest.json", strings.Replace(manifest, "c.json", "../../c.json", 1))), "leads out of the archive"},
		"file missing":    {tarOf(t, file("manifest.json", manifest), file("c.json", config)), `"l.tar" is missing`},
		"layer count":     {tarOf(t, file("manifest.json", manifest), file("c.json", `{"rootfs":{"diff_ids":[]}}`), file("l.tar", "")), "invalid manifest, layers length mismatch: expected 1, got 0"},
		"diff id":         {tarOf(t, file("manifest.json", manifest), file("c.json", config), file("l.tar", "")), "wrong diff id"},
		"diff id is none": {tarOf(t, file("manifest.json", manifest), file("c.json", strings.Replace(config, "sha256:0", "x", 1)), file("l.tar", "")), "diff ID"},
		"bad tag":         {tarOf(t, file("manifest.json", strings.Replace(manifest, "evil:latest", "EVIL", 1)), file("c.json", config), file("l.tar", "")), `invalid tag "EVIL"`},
		"link to nothing": {tarOf(t, file("manifest.json", manifest), file("c.json", config), tar.Header{Name: "l.tar", Typeflag: tar.TypeSymlink, Linkname: "nothing"}), `"l.tar" is missing`},
		"link to itself":  {tarOf(t, file("manifest.json", manifest), file("c.json", config), tar.Header{Name: "l.tar", Typeflag: tar.TypeSymlink, Linkname: "l.tar"}), `"l.tar" is missing`},
		"index empty":     {tarOf(t, file("oci-layout", layout), file("index.json", index)), "lists 0 images"},
		"layout version":  {tarOf(t, file("oci-layout", `{"imageLayoutVersion":"9"}`), file("index.json", index)), "unsupported OCI layout version"},
		"index digest":    {tarOf(t, file("oci-layout", layout), file("index.json", `{"manifests":[{"mediaType":"`+ocispec.MediaTypeImageManifest+`","digest":"x","size":1}]}`)), `digest "x"`},
		"twice":           {tarOf(t, file("manifest.json", manifest), file("manifest.json", manifest)), "there twice"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			_, err := b.load(c.in)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if !errdefs.IsInvalidArgument(err) && name != "diff id" {
				t.Errorf("class of %v", err)
			}
			blobs, snaps, ingests := b.count()
			if blobs+snaps+ingests > 0 || len(b.known()) > 0 {
				t.Errorf("%d blobs, %d snapshots, %d ingests, names %v are left", blobs, snaps, ingests, b.known())
			}
		})
	}
}

// tarOf makes a tar of headers; Linkname is a regular file's content.
func tarOf(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, hdr := range entries {
		data := ""
		if hdr.Typeflag == tar.TypeReg {
			data, hdr.Linkname = hdr.Linkname, ""
		}
		hdr.Size, hdr.Mode = int64(len(data)), 0o644
		if strings.HasSuffix(hdr.Name, "/") {
			hdr.Name += "x"
		}
		if err := w.WriteHeader(&hdr); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// layerOf returns the name of the last layer's blob.
func layerOf(t *testing.T, data []byte) string {
	t.Helper()
	r, last := tar.NewReader(bytes.NewReader(data)), []string{}
	for {
		hdr, err := r.Next()
		if err != nil {
			break
		}
		if n, ok := strings.CutPrefix(hdr.Name, "blobs/sha256/"); ok {
			last = append(last, n)
		}
	}
	return last[len(last)-2] // the manifest is the last
}

// TestLoadOfSkopeo: archives in the layouts of another tool.
func TestLoadOfSkopeo(t *testing.T) {
	data, _ := sample(t, archive.Options{Names: []string{"x:1"}, Layers: 2})
	dir := t.TempDir()
	from := filepath.Join(dir, "from.tar")
	if err := os.WriteFile(from, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"docker-archive", "oci-archive"} {
		t.Run(kind, func(t *testing.T) {
			to := filepath.Join(dir, kind)
			if out, err := exec.Command("skopeo", "copy", "docker-archive:"+from, kind+":"+to+":x:1").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			in, err := os.ReadFile(to)
			if err != nil {
				t.Fatal(err)
			}
			b := newBench(t)
			out, err := b.load(in)
			if err != nil {
				t.Fatal(err)
			}
			is(t, out, "Loaded image: x:1\n")
			if _, _, img, err := b.Resolve(b.ctx, "x:1", nil); err != nil || len(img.RootFS.DiffIDs) != 3 {
				t.Error(img, err)
			}
		})
	}
}

func TestLoadInterrupted(t *testing.T) {
	b := newBench(t)
	data, _ := sample(t, archive.Options{Names: []string{"x"}, Layers: 2})
	gone := errors.New("connection reset")
	err := b.Load(b.ctx, io.MultiReader(bytes.NewReader(data[:len(data)-3000]), iotestErr{gone}), true, nil, func(jsonstream.Message) error { return nil })
	if !errors.Is(err, gone) {
		t.Error(err)
	}
	blobs, snaps, ingests := b.count()
	is(t, blobs+snaps+ingests, 0)
}

type iotestErr struct{ err error }

func (e iotestErr) Read([]byte) (int, error) { return 0, e.err }
