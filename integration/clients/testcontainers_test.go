package clients

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestTestcontainers runs the tests of a program that uses testcontainers, as its authors
// would. Its reaper, an image of a public registry, is not to be had.
func TestTestcontainers(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*harness.Patience) // it is compiled first
	defer cancel()
	// A module of its own, which is none as it lies there, for tools that take all of
	// our files for our module's.
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/testcontainers")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "shop_test.go.txt"), filepath.Join(dir, "shop_test.go")); err != nil {
		t.Fatal(err)
	}
	cmd := d.Command(ctx, "go", "test", "-count=1", "-v", "./...")
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "IMAGE="+image, "TESTCONTAINERS_RYUK_DISABLED=true", "GOWORK=off", "GOFLAGS=-trimpath -mod=readonly")
	r := d.Done(cmd)
	if r.Code != 0 {
		t.Fatalf("code %d:\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	empty(t, d)
}

// empty fails the test if the daemon has a container, or a network or volume of a client.
func empty(t *testing.T, d *harness.Daemon) {
	t.Helper()
	for _, args := range [][]string{{"ps", "-aq"}, {"network", "ls", "-q", "--filter", "type=custom"}, {"volume", "ls", "-q"}} {
		if left := d.Berth(args...).OK(t); left != "" {
			t.Errorf("%s: %s is left", args[0], left)
		}
	}
}

// TestPython has Docker's library for Python, as Debian has it, do what programs ask of it.
func TestPython(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	python, err := exec.LookPath("/usr/bin/python3")
	if err != nil {
		t.Fatalf("python3-docker (hack/deps test): %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*harness.Patience)
	defer cancel()
	cmd := d.Command(ctx, python, "testdata/library.py", image)
	r := d.Done(cmd)
	if r.Code != 0 {
		t.Fatalf("code %d:\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	empty(t, d)
}
