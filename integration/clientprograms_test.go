package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// The client is two programs. berth finds the other beside itself or where packages have
// it, under whatever name it is called, and says what is missing.
func TestClientPrograms(t *testing.T) {
	dir := t.TempDir()
	install := func(name, path string) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(harness.Bin(), name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	install("berth", "bin/berth")
	if err := os.Symlink("../bin/berth", filepath.Join(dir, "bin/docker")); err != nil {
		t.Fatal(err)
	}
	call := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "bin", name), args...).CombinedOutput()
		if want := !strings.Contains(string(out), "cannot be executed"); (err == nil) != want {
			t.Errorf("%s %q: %v: %s", name, args, err, out)
		}
		return string(out)
	}
	if out := call("berth", "buildx", "--help"); !strings.Contains(out, "exec "+dir+"/bin/berth-all: no such file or directory\n") || !strings.Contains(out, "libexec/berth/berth-all: no such file or directory\n") {
		t.Errorf("without berth-all: %s", out)
	}
	if out := call("berth", "run", "--help"); !strings.Contains(out, "Usage:  berth run [OPTIONS] IMAGE") {
		t.Errorf("run needs berth-all: %s", out)
	}
	for _, path := range []string{"libexec/berth/berth-all", "bin/berth-all"} {
		install("berth-all", path)
		for name, want := range map[string]string{"berth": "Berth version ", "docker": "Docker version "} {
			if out := call(name, "--version"); !strings.HasPrefix(out, want) {
				t.Errorf("%s with %s says %s", name, path, out)
			}
		}
		if out := call("berth", "--context", "default", "run", "--help"); !strings.Contains(out, "Usage:  berth run [OPTIONS] IMAGE") {
			t.Errorf("a flag before the command, with %s: %s", path, out)
		}
		if err := os.Remove(filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
}
