package clients

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestTestcontainers runs the tests of a program that uses testcontainers, as its authors
// would, with a reaper: what a program leaves that is killed is taken away, too.
func TestTestcontainers(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	reaper(t, d)
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
	program := func(name string, args ...string) *exec.Cmd {
		cmd := d.Command(ctx, name, args...)
		cmd.Dir = dir
		cmd.Env = append(cmd.Env, "IMAGE="+image, "TESTCONTAINERS_RYUK_RECONNECTION_TIMEOUT=1s", "GOWORK=off", "GOFLAGS=-trimpath -mod=readonly")
		return cmd
	}
	shop := filepath.Join(dir, "shop.test")
	for _, cmd := range []*exec.Cmd{program("go", "test", "-c", "-o", shop, "."), program(shop, "-test.v", "-test.skip", "TestAbandoned")} {
		if r := d.Done(cmd); r.Code != 0 {
			t.Fatalf("code %d:\n%s%s", r.Code, r.Stdout, r.Stderr)
		}
	}
	reaped := func() bool { return len(left(t, d)) == 0 }
	await(t, "the reaper ends after its work", reaped)

	out := &harness.Buffer{}
	abandoned := program(shop, "-test.run", "TestAbandoned")
	abandoned.Stdout, abandoned.Stderr = out, out
	if err := abandoned.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "something to abandon", func() bool { return strings.Contains(out.String(), "abandoned") })
	if got := left(t, d); len(got) != 4 {
		t.Errorf("a container, its reaper, a network and a volume: %q\n%s", got, out)
	}
	if err := abandoned.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = abandoned.Wait()
	await(t, "the reaper takes away what was abandoned", reaped)
}

// reaper makes the image by which testcontainers knows its reaper, Ryuk, of a program that
// speaks the same: the registry that has the real one is out of reach.
func reaper(t *testing.T, d *harness.Daemon) {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-ldflags", "-s -w", "-o", filepath.Join(dir, "reaper"), "./testdata/reaper").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY reaper /reaper\nENTRYPOINT [\"/reaper\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.Berth("build", "-q", "-t", "testcontainers/ryuk:0.14.0", dir).OK(t)
}

// empty fails the test if the daemon has a container, or a network or volume of a client.
func empty(t *testing.T, d *harness.Daemon) {
	t.Helper()
	for _, x := range left(t, d) {
		t.Errorf("%s is left", x)
	}
}

// left are the containers of the daemon, and the networks and volumes of clients.
func left(t *testing.T, d *harness.Daemon) (all []string) {
	t.Helper()
	for _, args := range [][]string{{"ps", "-aq"}, {"network", "ls", "-q", "--filter", "type=custom"}, {"volume", "ls", "-q"}} {
		for _, id := range strings.Fields(d.Berth(args...).OK(t)) {
			all = append(all, args[0]+" "+id)
		}
	}
	return all
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
