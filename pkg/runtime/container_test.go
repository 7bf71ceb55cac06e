package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// base is the chain ID of an image of two layers: busybox, and a file.
var base = digest.FromString("berth runtime test base")

// makeBase makes the layers in r's snapshotter.
func makeBase(ctx context.Context, r *Runtime) error {
	ctx = r.in(ctx)
	s := r.client.SnapshotService(r.Snapshotter())
	label := snapshots.WithLabels(map[string]string{labelRoot: "now"})
	lower := digest.FromString("berth runtime test lower").String()
	for _, layer := range []struct {
		name, parent string
		fill         func(dir string) error
	}{{lower, "", fillBusybox}, {base.String(), lower, fillTraps}} {
		mounts, err := s.Prepare(ctx, layer.name+"-tmp", layer.parent, label)
		if err != nil {
			return err
		}
		dir, _ := upperDir(mounts)
		if err := layer.fill(dir); err != nil {
			return err
		}
		if err := s.Commit(ctx, layer.name, layer.name+"-tmp", label); err != nil {
			return err
		}
	}
	return nil
}

func fillBusybox(dir string) error {
	for _, d := range []string{"bin", "proc", "dev", "sys", "tmp", "etc"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	in, err := os.Open("/bin/busybox")
	if err != nil {
		return fmt.Errorf("the tests need Debian's busybox-static: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(dir, "bin/busybox"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	for _, name := range []string{"sh", "true", "sleep", "cat", "echo"} {
		err = errors.Join(err, os.Symlink("busybox", filepath.Join(dir, "bin", name)))
	}
	return errors.Join(err, out.Close())
}

// fillTraps writes what a hostile image could have.
func fillTraps(dir string) error {
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "etc-passwd"), []byte("inside"), 0o644),
		os.Symlink("/etc/hostname", filepath.Join(dir, "absolute")),
		os.Symlink("../../../../../../etc/hostname", filepath.Join(dir, "dotdot")),
		os.WriteFile(filepath.Join(dir, "plain"), []byte("plain"), 0o600),
		os.WriteFile(filepath.Join(dir, "not-executable"), []byte("#!/bin/sh\n"), 0o644),
	)
}

// box is one container of a test.
type box struct {
	t   *testing.T
	r   *Runtime
	id  string
	out string // file with its output
}

// newBox makes a container's snapshot; the test's end removes all of it.
func newBox(t *testing.T, r *Runtime) *box {
	t.Helper()
	id := fmt.Sprintf("brt-%d-%s", os.Getpid(), strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")))
	b := &box{t: t, r: r, id: id, out: filepath.Join(t.TempDir(), "out")}
	if err := r.CreateRootfs(t.Context(), id, base); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.remove)
	return b
}

func (b *box) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err := b.r.DeleteTask(ctx, b.id)
	err = errors.Join(ignore(err, errdefs.IsNotFound),
		b.r.RemoveContainer(ctx, b.id), b.r.RemoveRootfs(ctx, b.id))
	if err != nil {
		b.t.Error(err)
	}
}

func (b *box) config(args ...string) TaskConfig {
	return TaskConfig{ID: b.id, Spec: testSpec(b.id, args...), IO: IO{Stdout: "file://" + b.out, Stderr: "file://" + b.out}}
}

// run creates and starts the container.
func (b *box) run(args ...string) (pid int) {
	b.t.Helper()
	if err := b.r.CreateTask(b.t.Context(), b.config(args...)); err != nil {
		b.t.Fatal(err)
	}
	pid, err := b.r.StartTask(b.t.Context(), b.id)
	if err != nil {
		b.t.Fatal(err)
	}
	return pid
}

// trap runs a container that exits with code when it gets SIGTERM. It returns
// once the trap is set: before, the signal would meet the OCI runtime.
func (b *box) trap(code int) (pid int) {
	b.t.Helper()
	pid = b.run("sh", "-c", fmt.Sprintf("trap 'exit %d' TERM; echo ready; while :; do sleep 0.05; done", code))
	await(b.t, func() bool { return b.output() == "ready\n" })
	return pid
}

// await waits for what another process does and gives no sign of.
func await(t *testing.T, done func() bool) {
	t.Helper()
	for !done() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}

func (b *box) output() string {
	b.t.Helper()
	out, err := os.ReadFile(b.out)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(out)
}

// gone checks that nothing is left of the task.
func (b *box) gone() {
	b.t.Helper()
	if _, err := os.Lstat(bundle(b.r.config, b.id)); !errors.Is(err, os.ErrNotExist) {
		b.t.Errorf("bundle: %v", err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		b.t.Fatal(err)
	}
	if strings.Contains(string(mounts), b.id) {
		b.t.Error("a mount is left")
	}
	for _, t := range b.tasks() {
		if t.ID == b.id {
			b.t.Errorf("the task is left: %+v", t)
		}
	}
}

func (b *box) tasks() []Task {
	b.t.Helper()
	all, err := b.r.Tasks(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// task is the container's, which must be there.
func (b *box) task() Task {
	b.t.Helper()
	for _, t := range b.tasks() {
		if t.ID == b.id {
			return t
		}
	}
	b.t.Fatalf("no task %s", b.id)
	return Task{}
}

// expect reads events until one of this container has that kind and exec.
func (b *box) expect(events <-chan Event, kind Kind, execID string) Event {
	b.t.Helper()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				b.t.Fatal("the events ended")
			}
			if e.Kind == kind && (kind == KindResync || e.ID == b.id && e.ExecID == execID) {
				return e
			}
		case <-b.t.Context().Done():
			b.t.Fatal(b.t.Context().Err())
		case <-time.After(20 * time.Second):
			b.t.Fatalf("no %s event", kind)
		}
	}
}

func testSpec(id string, args ...string) *specs.Spec {
	return &specs.Spec{
		Version: "1.2.1",
		Process: testProcess(args...),
		Root:    &specs.Root{Path: "rootfs"},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "mode=755"}},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/" + id,
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
				{Type: specs.MountNamespace}, {Type: specs.NetworkNamespace},
			},
		},
	}
}

func testProcess(args ...string) *specs.Process {
	return &specs.Process{Args: args, Env: []string{"PATH=/bin"}, Cwd: "/"}
}
