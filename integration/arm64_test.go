package integration

import (
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestARM64 opens the packages for arm64 that make made here: they have the files of
// this machine's own, and programs of that architecture which need no library.
func TestARM64(t *testing.T) {
	t.Parallel()
	dist := filepath.Join(harness.Bin(), "arm64", "dist")
	own, theirs := unpack(t, filepath.Join(harness.Bin(), "..", "dist"), "amd64"), unpack(t, dist, "arm64")
	for _, kind := range []string{"deb", "tar"} {
		if a, b := tree(t, filepath.Join(own, kind)), tree(t, filepath.Join(theirs, kind)); !slices.Equal(a, b) {
			t.Errorf("%s: amd64 has %v, arm64 has %v", kind, a, b)
		}
	}
	if got := strings.TrimSpace(outputOf(t, "dpkg-deb", "--field", one(t, filepath.Join(dist, "berth_*_arm64.deb")), "Architecture")); got != "arm64" {
		t.Errorf("the package's architecture is %q", got)
	}
	cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	cmd.Dir = dist
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("SHA256SUMS: %v: %s", err, out)
	}
	const bin, helpers = "deb/usr/bin/", "deb/usr/libexec/berth/"
	programs := []string{bin + "berth", bin + "berthd", helpers + "berth-all", helpers + "runc", helpers + "berth-init", helpers + "berth-cni", helpers + "containerd-shim-berth-v2", helpers + "containerd-shim-berth-task", helpers + "cni/macvlan", helpers + "cni/ipvlan"}
	for _, name := range programs {
		static(t, filepath.Join(theirs, name), elf.EM_AARCH64)
		static(t, filepath.Join(own, name), elf.EM_X86_64)
	}
	for _, c := range []struct{ program, args, want string }{
		{bin + "berth", "run --help", "Usage:  berth run"},
		{helpers + "berth-all", "--version", "Berth version"}, // which an emulator of one program does not execute for berth
		{bin + "berthd", "--version", "Berth version"},
		{bin + "berthd", "--validate", "configuration OK"},
		{helpers + "runc", "features", `"SCMP_ARCH_AARCH64"`},
	} {
		args := append([]string{filepath.Join(theirs, c.program)}, strings.Fields(c.args)...)
		if got := outputOf(t, "qemu-aarch64-static", args...); !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %q is not in %s", c.program, c.args, c.want, got)
		}
	}
}

// unpack gives a folder with what the packages for an architecture hold: deb and tar.
func unpack(t *testing.T, dist, arch string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, "dpkg-deb", "-x", one(t, filepath.Join(dist, "berth_*_"+arch+".deb")), filepath.Join(dir, "deb"))
	if err := os.Mkdir(filepath.Join(dir, "tar"), 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, "tar", "-C", filepath.Join(dir, "tar"), "--strip-components=1", "-xzf", one(t, filepath.Join(dist, "berth-*-linux-"+arch+".tar.gz")))
	return dir
}

// one is the only file of a pattern.
func one(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s (make dist arm64): %v, %v", pattern, found, err)
	}
	return found[0]
}

// tree lists a folder's files with their modes and what links lead to.
func tree(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := info.Mode().String() + " " + strings.TrimPrefix(path, dir)
		if d.Type() == fs.ModeSymlink {
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " " + to
		}
		all = append(all, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// static fails the test unless a program is of a machine and needs no shared library.
func static(t *testing.T, path string, machine elf.Machine) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if f.Machine != machine || len(libraries) > 0 || err != nil {
		t.Errorf("%s is of %v, and needs %v: %v", path, f.Machine, libraries, err)
	}
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Errorf("%s names an interpreter", path)
	}
}

// outputOf gives the output of a command that must succeed.
func outputOf(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
