package integration

import (
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
