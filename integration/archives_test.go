package integration

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestArchivesOfDocker: what dockerd saves and exports runs here, and what we do
// runs there; also compressed.
func TestArchivesOfDocker(t *testing.T) {
	t.Parallel()
	host := harness.NewOtherHost(t)
	dockerd := harness.StartDockerd(t, host)
	d := harness.Start(t, harness.Options{})
	dir := t.TempDir()
	theirs, ours := filepath.Join(dir, "theirs.tar"), filepath.Join(dir, "ours.tar")

	dockerd.Docker("load", "-q", "-i", sample)
	id := dockerd.Docker("create", image, "true")
	dockerd.Docker("commit", "-a", "them", "-c", "ENV FROM=dockerd", "-c", "CMD [\"sh\",\"-c\",\"echo $FROM\"]", id, "made:there")
	dockerd.Docker("tag", "made:there", "made:twice")
	dockerd.Docker("save", "-o", theirs, "made:there", "made:twice", image)
	for _, pack := range [][]string{nil, {"gzip", "-k"}, {"xz", "-k", "-1"}, {"bzip2", "-k"}, {"zstd", "-q", "-k"}} {
		name := theirs
		if pack != nil {
			if out, err := exec.Command(pack[0], append(pack[1:], theirs)...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", pack[0], err, out)
			}
			name += map[string]string{"gzip": ".gz", "xz": ".xz", "bzip2": ".bz2", "zstd": ".zst"}[pack[0]]
		}
		out := d.Berth("load", "-i", name).OK(t)
		for _, want := range []string{"Loaded image: made:there", "Loaded image: made:twice", "Loaded image: " + image} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in:\n%s", name, want, out)
			}
		}
		if got := d.Berth("run", "--rm", "made:twice").OK(t); got != "dockerd" {
			t.Errorf("%s: it says %q", name, got)
		}
		if got := d.Berth("image", "inspect", "-f", "{{.Author}}", "made:there").OK(t); got != "them" {
			t.Errorf("%s: author %q", name, got)
		}
		d.Berth("rmi", "-f", "made:there", "made:twice", image).OK(t)
	}

	flat := filepath.Join(dir, "flat.tar")
	dockerd.Docker("export", "-o", flat, id)
	d.Berth("import", "-c", "ENV FROM=berth", "-c", "CMD [\"sh\",\"-c\",\"echo $FROM\"]", "-m", "flat", flat, "flat:1").OK(t)
	if got := d.Berth("run", "--rm", "flat:1").OK(t); got != "berth" {
		t.Errorf("the import says %q", got)
	}
	d.Berth("load", "-i", theirs).OK(t)
	d.Berth("save", "-o", ours, "flat:1", "made:there").OK(t)
	dockerd.Docker("rmi", "-f", "made:there", "made:twice")
	dockerd.Docker("load", "-q", "-i", ours)
	for name, want := range map[string]string{"flat:1": "berth", "made:there": "dockerd"} {
		if got := dockerd.Docker("run", "--rm", "--network", "none", name); got != want {
			t.Errorf("there, %s says %q", name, got)
		}
	}
}

// TestLoadOfABrokenLayer: what is wrong with a layer is told in Docker's words, whatever
// unpacked it, and nothing of the image is left.
func TestLoadOfABrokenLayer(t *testing.T) {
	t.Parallel()
	d := harness.Start(t, harness.Options{})
	var layer bytes.Buffer
	z := gzip.NewWriter(&layer)
	if _, err := z.Write(make([]byte, 10240)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	checksum := bytes.Clone(layer.Bytes())
	checksum[len(checksum)-5]++
	for want, content := range map[string][]byte{
		"gzip: invalid checksum": checksum, "unexpected EOF": layer.Bytes()[:layer.Len()/2], "archive/tar: invalid tar header": bytes.Repeat([]byte("x"), 1024),
	} {
		r := d.Berth("load", "-i", imageOf(t, content))
		r.Fails(t, 1, `Error response from daemon: failed to extract layer (application/vnd.docker.image.rootfs.diff.tar`)
		if !strings.HasSuffix(strings.TrimSpace(r.Stderr), want) || strings.Count(r.Stderr, want) != 1 {
			t.Errorf("want %q at the end of %s", want, r.Stderr)
		}
		if left := d.Berth("images", "-aq").OK(t); left != "" {
			t.Errorf("left: %s", left)
		}
	}
}

// imageOf is an archive of an image with one layer.
func imageOf(t *testing.T, layer []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image.tar")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(f)
	for file, content := range map[string][]byte{
		"config.json":   []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:` + strings.Repeat("a", 64) + `"]}}`),
		"layer.tar":     layer,
		"manifest.json": []byte(`[{"Config":"config.json","RepoTags":["broken:1"],"Layers":["layer.tar"]}]`),
	} {
		if err := w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}
