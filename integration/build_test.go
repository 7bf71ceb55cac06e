package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	ctrclient "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// buildContext makes a folder with a Dockerfile, and further files by name.
func buildContext(t *testing.T, dockerfile string, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	files = append(files, "Dockerfile", dockerfile)
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(files[i+1]), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// tells wants a text in a build's progress.
func tells(t *testing.T, r harness.Result, want ...string) {
	t.Helper()
	for _, w := range want {
		if told := r.Stdout + r.Stderr; !strings.Contains(told, w) {
			t.Errorf("%s: no %q in\n%s", strings.Join(r.Args, " "), w, told)
		}
	}
}

// A daemon that never builds has nothing of BuildKit's: no file, nothing open.
func TestBuilderCostsNothingBefore(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("builder", "prune", "-f").OK(t)
	d.Berth("run", "--rm", image, "true").OK(t)
	dir := filepath.Join(d.Data(), "build")
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v is in %s: %v", left, dir, err)
	}
	d.Build("berth", nil, "-t", "x", buildContext(t, "FROM "+image)).OK(t)
	if _, err := os.Stat(filepath.Join(dir, "cache.db")); err != nil {
		t.Errorf("after a build: %v", err)
	}
}

// What a build made is unpacked: a container of it takes one snapshot more, its own.
func TestBuiltImageRunsAtOnce(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Build("berth", nil, "-t", "x", buildContext(t, "FROM "+image+"\nRUN echo a >/a\nRUN echo b >/b\n")).OK(t)
	// Nor was it unpacked: what a step wrote is on the disk once.
	for _, file := range []string{"a", "b"} {
		if all, err := filepath.Glob(filepath.Join(d.Data(), "containerd", "*overlayfs", "snapshots", "*", "fs", file)); err != nil || len(all) != 1 {
			t.Errorf("%s is there as %q: %v", file, all, err)
		}
	}
	before := snapshotsOf(t, d)
	d.Berth("create", "x").OK(t)
	var fresh []string
	for name := range snapshotsOf(t, d) {
		if !before[name] {
			fresh = append(fresh, name)
		}
	}
	if len(fresh) != 1 {
		t.Errorf("snapshots that came with a container: %q", fresh)
	}
	if got := d.Berth("image", "inspect", "-f", "{{index .RepoTags 0}} {{len .RootFS.Layers}}", "x").OK(t); got != "x:latest 3" {
		t.Errorf("the image is %s", got)
	}
	// A name that goes to another image leaves the former one, without a name.
	id := d.Berth("images", "-q", "--no-trunc", "x").OK(t)
	d.Build("berth", nil, "-t", "x", buildContext(t, "FROM "+image+"\nRUN echo c >/c\n")).OK(t)
	if got := d.Berth("images", "-q", "--no-trunc", "--filter", "dangling=true").OK(t); got != id {
		t.Errorf("dangling is %q, want %s", got, id)
	}
}

// A client that leaves ends its build: nothing runs on, nothing is left, and the
// next build works.
func TestBuildCancelled(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	dir := buildContext(t, "FROM "+image+"\nRUN echo begun; exec sleep 4242\n")
	for _, builder := range []string{"berth", "buildx", "classic"} {
		for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
			out := &harness.Buffer{}
			cmd := builderCommand(t, d, builder, dir)
			cmd.Stdout, cmd.Stderr = out, out
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, builder+" begins", func() bool { return strings.Contains(out.String(), "begun\n") })
			// BuildKit may show the output of the build before, of the same step.
			await(t, builder+" runs its step", func() bool { return len(stepsLeft(d)) == 1 })
			if err := syscall.Kill(-cmd.Process.Pid, sig); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Errorf("%s succeeded after %s", builder, sig)
			}
			await(t, builder+" leaves nothing after "+sig.String(), func() bool {
				return len(stepsLeft(d)) == 0 && len(sandboxesOf(d)) == 0
			})
		}
	}
	if procs := commandsWith("sleep\x004242"); len(procs) > 0 {
		t.Errorf("still running: %v", procs)
	}
	d.Build("berth", nil, buildContext(t, "FROM "+image+"\nRUN true\n")).OK(t)
}

// A daemon that is killed in the middle of a step ends it when it comes back.
func TestBuildSurvivesTheDaemonsDeath(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	first := buildContext(t, "FROM "+image+"\nRUN echo kept >/kept\n")
	d.Build("berth", nil, "-t", "first", first).OK(t)
	out := &harness.Buffer{}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hidden"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := builderCommand(t, d, "berth", buildContext(t, "FROM "+image+"\nRUN --mount=type=secret,id=one echo begun; exec sleep 4243\n"))
	cmd.Args = append(cmd.Args, "--secret", "id=one,src="+secret)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the step begins", func() bool { return strings.Contains(out.String(), "begun\n") })
	d.Kill()
	if err := cmd.Wait(); err == nil {
		t.Error("the build succeeded")
	}
	// The secret's among them.
	if left := d.TempFiles(); len(left) == 0 {
		t.Error("a daemon that died left no temporary files; where are they?")
	}
	d.Run()
	d.Berth("ps").OK(t) // answers when the recovery is done
	if left := d.TempFiles(); len(left) > 0 {
		t.Errorf("temporary files after the restart: %q", left)
	}
	if left := stepsLeft(d); len(left) > 0 {
		t.Errorf("steps after the restart: %q", left)
	}
	if left := sandboxesOf(d); len(left) > 0 {
		t.Errorf("networks after the restart: %q", left)
	}
	if procs := commandsWith("sleep\x004243"); len(procs) > 0 {
		t.Errorf("still running: %v", procs)
	}
	r := d.Build("berth", nil, "-t", "again", first)
	r.OK(t)
	tells(t, r, "CACHED")
	if got := d.Berth("run", "--rm", "again", "cat", "/kept").OK(t); got != "kept" {
		t.Errorf("the image of the cache has %q", got)
	}
}

// A daemon that ends in good order ends builds first.
func TestBuildEndsWithTheDaemon(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	out := &harness.Buffer{}
	cmd := builderCommand(t, d, "berth", buildContext(t, "FROM "+image+"\nRUN echo begun; exec sleep 4244\n"))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the step begins", func() bool { return strings.Contains(out.String(), "begun\n") })
	d.Terminate()
	if err := cmd.Wait(); err == nil {
		t.Error("the build succeeded")
	}
	if left := append(stepsLeft(d), sandboxesOf(d)...); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if procs := commandsWith("sleep\x004244"); len(procs) > 0 {
		t.Errorf("still running: %v", procs)
	}
}

// Builds run side by side, of the same and of different things.
func TestBuildsSideBySide(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	dirs := []string{buildContext(t, "FROM "+image+"\nRUN sleep 0.1; echo same >/x\n"), buildContext(t, "FROM "+image+"\nRUN echo other >/x\n")}
	results := make(chan harness.Result)
	const n = 6
	for i := range n {
		go func() { results <- d.Build("berth", nil, "-t", fmt.Sprintf("side%d", i), dirs[i%2]) }()
	}
	for range n {
		(<-results).OK(t)
	}
	for i := range n {
		want := []string{"same", "other"}[i%2]
		if got := d.Berth("run", "--rm", fmt.Sprintf("side%d", i), "cat", "/x").OK(t); got != want {
			t.Errorf("side%d has %q", i, got)
		}
	}
}

// A request that is cut off in the middle of its context fails, and leaves nothing.
func TestBuildOfABrokenContext(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	var archive bytes.Buffer
	tar := exec.Command("tar", "-c", "-C", buildContext(t, "FROM "+image+"\nCOPY big /\n", "big", strings.Repeat("x", 1<<20)), ".")
	tar.Stdout = &archive
	if err := tar.Run(); err != nil {
		t.Fatal(err)
	}
	for _, builder := range []string{"berth", "classic"} {
		r := d.Build(builder, bytes.NewReader(archive.Bytes()[:archive.Len()/2]), "-")
		if r.Code == 0 {
			t.Errorf("%s builds half an archive", builder)
		}
		d.Build(builder, bytes.NewReader(archive.Bytes()), "-").OK(t)
	}
}

// TestBuildContextIsBounded: more than daemon.json allows is refused, by each door, and
// leaves nothing; less of it builds.
func TestBuildContextIsBounded(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "daemon.json")
	if err := os.WriteFile(file, []byte(`{"builder": {"maxContext": "3m"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, harness.Options{Flags: []string{"--config-file", file}})
	sized := func(mib int) string {
		content := make([]byte, mib<<20)
		_, _ = rand.Read(content) // sessions may be compressed
		return buildContext(t, "FROM "+image+"\nCOPY big /\n", "big", string(content))
	}
	small, large := sized(1), sized(8)
	for _, builder := range []string{"berth", "buildx", "classic"} {
		d.Build(builder, nil, "-t", builder, large).Fails(t, 1, "the build context is larger than 3145728 bytes")
		d.Build(builder, nil, "-t", builder, small).OK(t)
	}
	pruneCache(t, d, url.Values{"all": {"true"}})
	if left := cacheOf(t, d); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

func builderCommand(t *testing.T, d *harness.Daemon, builder, dir string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	t.Cleanup(cancel)
	switch builder {
	case "berth":
		return d.Command(ctx, harness.BerthCLI(), "build", "--progress=plain", "--no-cache", dir)
	case "classic":
		cmd := d.Command(ctx, "docker", "build", "--no-cache", dir)
		cmd.Env = append(cmd.Env, "DOCKER_BUILDKIT=0")
		return cmd
	}
	d.Buildx(nil, "version").OK(t) // has the plugin put in its place
	return d.Command(ctx, "docker", "buildx", "build", "--progress=plain", "--no-cache", dir)
}

// sandboxesOf are the networks of steps and containers that are recorded.
func sandboxesOf(d *harness.Daemon) (names []string) {
	entries, err := os.ReadDir(filepath.Join(d.Exec(), "net", "sandboxes"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// commandsWith are processes whose command line has a part.
func commandsWith(part string) (found []string) {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, l := range lines {
		if b, err := os.ReadFile(l); err == nil && strings.Contains(string(b), part) {
			found = append(found, l)
		}
	}
	return found
}

func snapshotsOf(t *testing.T, d *harness.Daemon) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	c, err := ctrclient.New(d.Containerd())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := namespaces.WithNamespace(context.Background(), d.Namespace())
	err = c.SnapshotService("overlayfs").Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		all[i.Name] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
