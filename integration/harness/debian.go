package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// DebianBase builds Debian's smallest system as an image of that name.
func (d *Daemon) DebianBase(name string) {
	d.t.Helper()
	base, archive := d.t.TempDir(), DebianArchive(d.t)
	if err := os.Link(archive, filepath.Join(base, "base.tar")); err != nil {
		if err := exec.Command("cp", archive, filepath.Join(base, "base.tar")).Run(); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(base, "Dockerfile"), []byte("FROM scratch\nADD base.tar /\nCMD [\"bash\"]\n"), 0o644); err != nil {
		d.t.Fatal(err)
	}
	d.LongBuild("-t", name, base).OK(d.t)
}

// DebianArchive is Debian's smallest system, made once by debootstrap and kept beside
// the binaries.
func DebianArchive(t *testing.T) string {
	t.Helper()
	kept := filepath.Join(Bin(), "debian-base.tar")
	if _, err := os.Stat(kept); err == nil {
		return kept
	}
	dir := t.TempDir()
	root, archive := filepath.Join(dir, "root"), filepath.Join(dir, "base.tar")
	made, err := os.CreateTemp(Bin(), "debian-base") // two packages' tests may make it at once
	if err != nil {
		t.Fatal(err)
	}
	_ = made.Close()
	for _, command := range [][]string{
		{"debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", root},
		{"sh", "-c", "cp /etc/apt/sources.list " + root + "/etc/apt/ 2>/dev/null; cp -r /etc/apt/sources.list.d " + root + "/etc/apt/; true"},
		{"tar", "--numeric-owner", "--exclude=./var/cache/apt/archives/*.deb", "--exclude=./dev/*", "-cf", archive, "-C", root, "."},
		{"cp", archive, made.Name()},
		{"mv", made.Name(), kept},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			_ = os.Remove(made.Name())
			t.Fatalf("%s (hack/deps test): %v: %s", strings.Join(command, " "), err, out)
		}
	}
	return kept
}
