package integration

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
)

// What a build was writing when the daemon was killed goes with the next collection: the
// root of a step, and the blob that a layer was packed into. What the cache has stays.
func TestKilledBuildLeavesNothing(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	before, size := heldBy(t, d), taken(t, d)
	for what, c := range map[string]struct {
		step  string
		kept  int64 // bytes of the cache
		begun func(out string) bool
	}{
		"step": {"head -c 50000000 /dev/zero >/large; echo begun; exec sleep 4245", 0, func(out string) bool { return strings.Contains(out, "begun\n") }},
		"blob": {"head -c 100000000 /dev/urandom >/random", 100_000_000, func(string) bool { return heldBy(t, d).ingests > 0 }},
	} {
		out := &harness.Buffer{}
		cmd := builderCommand(t, d, "berth", buildContext(t, "FROM "+image+"\nRUN "+c.step+"\n"))
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, what+" is written", func() bool { return c.begun(out.String()) })
		d.Kill()
		if err := cmd.Wait(); err == nil {
			t.Errorf("%s: the build succeeded", what)
		}
		d.Run()
		await(t, what+" is given back", func() bool {
			d.Berth("image", "prune", "-f").OK(t)
			return heldBy(t, d).ingests == 0 && taken(t, d) < size+c.kept+10_000_000
		})
		d.Berth("builder", "prune", "-af").OK(t)
		if after := heldBy(t, d); after != before {
			t.Errorf("%s: before the build: %+v\nafter:            %+v", what, before, after)
		}
	}
}

// A daemon that is killed while runc makes a step's container takes runc with it, and
// nobody but the daemon knows of the container: the next one takes its cgroups away, and
// its files.
func TestKilledBuildLeavesNoCgroup(t *testing.T) {
	t.Parallel()
	d, steps := stepGroups(t, "killed")
	dir := buildContext(t, "FROM "+image+"\n"+strings.Repeat("RUN true\n", 30))
	for range 6 { // three of them find runc at that point
		cmd := builderCommand(t, d, "berth", dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		awaitStep(t, steps)
		d.Kill()
		if err := cmd.Wait(); err == nil {
			t.Error("the build succeeded")
		}
		d.Run()
		left, _ := filepath.Glob(filepath.Join(d.Data(), "build", "executor", "hosts.*"))
		if left = append(append(left, stepsLeft(d)...), steps()...); len(left) > 0 {
			t.Fatalf("left: %q", left)
		}
	}
}

// A build that is cancelled at that point has its daemon take them away.
func TestCancelledBuildLeavesNoCgroup(t *testing.T) {
	t.Parallel()
	d, steps := stepGroups(t, "cancelled")
	dir := buildContext(t, "FROM "+image+"\n"+strings.Repeat("RUN true\n", 30))
	for range 15 {
		cmd := builderCommand(t, d, "berth", dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		awaitStep(t, steps)
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		await(t, "no step and no cgroup", func() bool { return len(stepsLeft(d)) == 0 && len(steps()) == 0 })
	}
}

// stepGroups starts a daemon whose containers have a parent cgroup of their own, and gives
// those of build steps that are there.
func stepGroups(t *testing.T, name string) (d *harness.Daemon, steps func() []string) {
	t.Helper()
	parent := fmt.Sprintf("berth-%s-%d", name, os.Getpid())
	groups := func(below string) []string {
		return glob(t, "/sys/fs/cgroup/*/"+parent+below, "/sys/fs/cgroup/"+parent+below)
	}
	t.Cleanup(func() { harness.RemoveCgroups(t, parent+"/buildkit", parent) })
	return start(t, harness.Options{Flags: []string{"--cgroup-parent", "/" + parent}}), func() (dirs []string) {
		for _, g := range groups("/buildkit/*") {
			if info, err := os.Stat(g); err == nil && info.IsDir() {
				dirs = append(dirs, g)
			}
		}
		return dirs
	}
}

// awaitStep returns as a step's first cgroup appears.
func awaitStep(t *testing.T, steps func() []string) {
	t.Helper()
	for deadline := time.Now().Add(harness.Patience); len(steps()) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("no step begins")
		}
	}
}

// taken is what a daemon's content and snapshots take of the disk, in bytes.
func taken(t *testing.T, d *harness.Daemon) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(d.Data(), "containerd"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return ignoreGone(err)
		}
		info, err := e.Info()
		if err == nil {
			bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return ignoreGone(err)
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
