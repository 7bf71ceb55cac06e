package engine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/contents"
	"github.com/berth-engine/berth/pkg/engine/layout"
	"github.com/berth-engine/berth/pkg/engine/request"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/files"
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/berth-engine/berth/pkg/runtime/rootfs"
	"github.com/berth-engine/berth/pkg/store"
	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// world is what an engine under test works with. It outlives engines, as
// containerd and the disk do, and writes down what it is asked to do.
type world struct {
	t             *testing.T
	data, sockets string
	tasks         *fakeTasks
	store         *fakeStore
	events        *fakeEvents
	journal       *journal
	running       *Engine // the last one started
}

func newWorld(t *testing.T) *world {
	j := &journal{fail: map[string]error{}}
	// Paths of unix sockets have 107 characters at most (unix(7)).
	exec, err := os.MkdirTemp("", "engine")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(exec) })
	return &world{
		t: t, data: t.TempDir(), sockets: exec, journal: j,
		tasks:  &fakeTasks{journal: j, socket: layout.Layout{Run: exec}.Socket, all: map[string]*fakeTask{}, roots: map[string]bool{}},
		store:  &fakeStore{journal: j, records: map[string][]byte{}},
		events: &fakeEvents{},
	}
}

// engine starts one; it is closed at the end of the test, if not before.
func (w *world) engine() *Engine {
	w.t.Helper()
	e, err := New(context.WithoutCancel(w.t.Context()), Config{
		DataRoot: w.data, ExecRoot: w.sockets, Init: "/berth-init", Runtimes: func() ([]string, string) { return []string{"runc"}, "runc" },
		Defaults: spec.Defaults{LogConfig: ctypes.LogConfig{Type: "json-file"}},
		Tasks:    w.tasks, Images: fakeImages{}, Networks: &fakeNetworks{w.journal}, Names: func(id string) string { return "/names/" + id }, Volumes: &fakeVolumes{w.journal},
		Store: w.store, Events: w.events, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if w.running == e {
			e.Close()
		}
	})
	w.running = e
	return e
}

// option is how a container is to be.
type option = func(*ctypes.Config, *ctypes.HostConfig)

// create makes a container "web" as the options say.
func (w *world) create(e *Engine, options ...option) string {
	w.t.Helper()
	c, hc := &ctypes.Config{Image: "image", Cmd: []string{"run"}}, &ctypes.HostConfig{}
	for _, set := range options {
		set(c, hc)
	}
	made, err := e.Create(w.t.Context(), CreateRequest{Name: "web", Config: c, HostConfig: hc})
	if err != nil {
		w.t.Fatal(err)
	}
	return made.ID
}

// run makes and starts one.
func (w *world) run(e *Engine, options ...option) string {
	w.t.Helper()
	id := w.create(e, options...)
	if err := e.Start(w.t.Context(), id); err != nil {
		w.t.Fatal(err)
	}
	return id
}

func restart(policy ctypes.RestartPolicyMode) option {
	return func(_ *ctypes.Config, hc *ctypes.HostConfig) { hc.RestartPolicy.Name = policy }
}

func autoRemove(_ *ctypes.Config, hc *ctypes.HostConfig) { hc.AutoRemove = true }

func (w *world) status(e *Engine, id string) container.Status {
	w.t.Helper()
	u, err := e.units.Find(id)
	if err != nil {
		w.t.Fatal(err)
	}
	return u.Status()
}

// await returns when a container's status is as ok says.
func (w *world) await(e *Engine, id string, ok func(container.Status) bool) {
	w.t.Helper()
	u, err := e.units.Find(id)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := u.Until(w.t.Context(), func(v *unit.View) bool { return ok(v.Status) }); err != nil {
		w.t.Fatal(err)
	}
}

func is(s container.State) func(container.Status) bool {
	return func(status container.Status) bool { return status.State == s }
}

// journal is what was asked for, in its order, and what is to fail.
type journal struct {
	mu      sync.Mutex // guards both
	entries []string
	fail    map[string]error
}

func (j *journal) note(what string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, what)
	return j.fail[what]
}

func (j *journal) failing(what string, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail[what] = err
}

// only returns what was noted since the last time of the given things, in order.
func (j *journal) only(names ...string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := slices.DeleteFunc(j.entries, func(e string) bool { return !slices.Contains(names, e) })
	j.entries = nil
	return strings.Join(out, " ")
}

// starting is only what a start and its undo ask for.
func (j *journal) starting() string {
	return j.only("setup", "teardown", "mount", "unmount", "create-task", "joined", "start-task", "delete-task")
}

func (j *journal) signals() string { return j.only("kill-15", "kill-9") }

// take returns what was noted since the last time.
func (j *journal) take() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := strings.Join(j.entries, " ")
	j.entries = nil
	return out
}

type fakeTask struct {
	runtime.Task
	listener net.Listener
	from     string // a checkpoint
}

// fakeTasks is containerd with its shims, without processes: a test says when
// one ends.
type fakeTasks struct {
	*journal
	socket func(id string) string
	output string // of each process; "": nobody can attach, and time is synctest's

	mu       sync.Mutex // guards what follows
	all      map[string]*fakeTask
	roots    map[string]bool
	next     int // pid
	out      chan runtime.Event
	exec     map[string]runtime.Exit
	starting func() // called while an exec's start is not answered yet; may be nil
	ignored  bool   // SIGTERM, by all
	quick    bool   // what is started exits at once with 3
}

func (f *fakeTasks) Events(ctx context.Context) <-chan runtime.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(chan runtime.Event, 64)
	f.out = out
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.out = nil
		close(out)
	})
	return out
}

func (f *fakeTasks) emit(ev runtime.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.emitLocked(ev)
}

func (f *fakeTasks) emitLocked(ev runtime.Event) {
	if f.out != nil {
		f.out <- ev
	}
}

// end has a process exit.
func (f *fakeTasks) end(id string, code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endLocked(id, code)
}

func (f *fakeTasks) endLocked(id string, code int) {
	t := f.all[id]
	if t == nil || t.Status == runtime.Stopped {
		return
	}
	t.Status, t.Exit = runtime.Stopped, runtime.Exit{Code: code, At: time.Now()}
	f.emitLocked(runtime.Event{Kind: runtime.KindExit, ID: id, Pid: t.Pid, Exit: t.Exit})
}

// set puts a task there, as an earlier berthd may have left it.
func (f *fakeTasks) set(t runtime.Task) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[t.ID] = &fakeTask{Task: t}
	f.roots[t.ID] = true
}

func (f *fakeTasks) CreateTask(_ context.Context, c runtime.TaskConfig) error {
	if err := f.note("create-task"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all[c.ID] != nil {
		return errdefs.ErrAlreadyExists
	}
	f.next++
	f.all[c.ID] = &fakeTask{Task: runtime.Task{ID: c.ID, Pid: 1<<30 + f.next, Status: runtime.Created}, from: c.Checkpoint}
	if f.output == "" {
		return nil
	}
	_ = os.Remove(f.socket(c.ID))
	l, err := net.Listen("unix", f.socket(c.ID))
	if err != nil {
		return err
	}
	f.all[c.ID].listener = l
	go f.serve(l)
	return nil
}

// serve plays the shim: it accepts everybody, writes the output and ends.
func (f *fakeTasks) serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = bufio.NewReader(conn).ReadString('\n')
		_ = f.note("joined")
		_, _ = io.WriteString(conn, "{}\n"+f.output)
		_ = conn.Close()
	}
}

func (f *fakeTasks) StartTask(_ context.Context, id string) (int, error) {
	err := f.note("start-task")
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		return 0, err
	}
	t := f.all[id]
	t.Status = runtime.Running
	if f.quick {
		f.endLocked(id, 3)
	}
	return t.Pid, nil
}

func (f *fakeTasks) KillTask(_ context.Context, id string, sig syscall.Signal) error {
	err := f.note(fmt.Sprintf("kill-%d", sig))
	f.mu.Lock()
	defer f.mu.Unlock()
	switch t := f.all[id]; {
	case t == nil || t.Status == runtime.Stopped:
		return errdefs.ErrNotFound
	case sig == syscall.SIGKILL || sig == syscall.SIGTERM && !f.ignored:
		f.endLocked(id, 128+int(sig))
	}
	return err
}

func (f *fakeTasks) freeze(id string, s runtime.Status) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.all[id]; t != nil && t.Status != runtime.Stopped {
		t.Status = s
		f.emitLocked(runtime.Event{Kind: map[runtime.Status]runtime.Kind{runtime.Paused: runtime.KindPaused, runtime.Running: runtime.KindResumed}[s], ID: id})
		return nil
	}
	return errdefs.ErrNotFound
}

func (f *fakeTasks) PauseTask(_ context.Context, id string) error {
	return f.freeze(id, runtime.Paused)
}

func (f *fakeTasks) ResumeTask(_ context.Context, id string) error {
	return f.freeze(id, runtime.Running)
}

func (f *fakeTasks) UpdateTask(context.Context, string, *specs.LinuxResources) error {
	return f.note("update")
}

func (f *fakeTasks) Pids(context.Context, string) ([]int, error) { return []int{os.Getpid()}, nil }

func (f *fakeTasks) DeleteTask(_ context.Context, id string) (runtime.Exit, error) {
	err := f.note("delete-task")
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.all[id]
	if t == nil {
		return runtime.Exit{}, errdefs.ErrNotFound
	}
	if err != nil {
		return runtime.Exit{}, err
	}
	delete(f.all, id)
	if t.listener != nil {
		_ = t.listener.Close()
	}
	return t.Exit, nil
}

func (f *fakeTasks) Tasks(context.Context) (out []runtime.Task, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.all {
		out = append(out, t.Task)
	}
	return out, nil
}

func (f *fakeTasks) Containers(context.Context) (ids []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.all {
		ids = append(ids, id)
	}
	return ids, nil
}

func (f *fakeTasks) Exec(_ context.Context, _, _ string, _ *specs.Process, _ runtime.IO) error {
	return f.note("exec")
}

func (f *fakeTasks) StartExec(_ context.Context, _, _ string) (int, error) {
	if f.starting != nil {
		f.starting()
	}
	return 4242, f.note("start-exec")
}

func (f *fakeTasks) DeleteExec(_ context.Context, _, execID string) (runtime.Exit, error) {
	err := f.note("delete-exec")
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.exec[execID], err
}

func (f *fakeTasks) ExecExit(_ context.Context, _, execID string) (runtime.Exit, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	exit, ended := f.exec[execID]
	return exit, ended, nil
}

func (f *fakeTasks) setExit(execID string, exit runtime.Exit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exec = map[string]runtime.Exit{execID: exit}
}

func (f *fakeTasks) Resize(context.Context, string, string, uint32, uint32) error { return nil }

func (f *fakeTasks) RemoveContainer(context.Context, string) error { return f.note("remove-container") }

func (f *fakeTasks) CreateRootfs(_ context.Context, id string, _ digest.Digest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.roots[id] = true
	return nil
}

func (f *fakeTasks) CreateView(context.Context, string, int, digest.Digest) error {
	return f.note("view")
}

func (f *fakeTasks) RemoveRootfs(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.roots, id)
	return nil
}

func (f *fakeTasks) RootfsSize(context.Context, string) (own, total int64, err error) {
	return 1000, 5000, nil
}

func (f *fakeTasks) Rootfs(context.Context) (ids []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.roots {
		ids = append(ids, id)
	}
	return ids, nil
}

func (f *fakeTasks) OpenRootfs(context.Context, string) (*rootfs.Root, error) {
	return nil, errdefs.ErrNotFound
}

func (f *fakeTasks) OpenView(context.Context, string, []rootfs.Mount) (*rootfs.Root, error) {
	return nil, errdefs.ErrNotFound
}

func (f *fakeTasks) CompareRootfs(context.Context, string) (*files.Comparison, func() error, error) {
	return nil, nil, errdefs.ErrNotFound
}

func (f *fakeTasks) Snapshotter() string { return "overlayfs" }

type fakeImages struct{}

func (fakeImages) Resolve(_ context.Context, ref string, _ *ocispec.Platform) (request.Image, error) {
	if ref != "image" {
		return request.Image{}, errdefs.ErrNotFound.WithMessage("No such image: " + ref)
	}
	manifest := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: "sha256:1"}
	return request.Image{ID: "sha256:1", Manifest: manifest, Config: &dockerspec.DockerOCIImage{}}, nil
}

func (fakeImages) Commit(context.Context, contents.Image) (string, error) { return "sha256:2", nil }

type fakeNetworks struct{ *journal }

func (f *fakeNetworks) Lookup(ref string) (network.Network, error) {
	return network.Network{Name: ref, ID: "id-of-" + ref, Driver: "bridge"}, nil
}

func (f *fakeNetworks) Setup(_ context.Context, _, _ string, endpoints map[string]*network.EndpointSettings, ports network.PortMap) (string, map[string]*network.EndpointSettings, network.PortMap, error) {
	return "/netns", endpoints, ports, f.note("setup")
}

func (f *fakeNetworks) Link(context.Context, string, map[string][]network.Port) error {
	return f.note("link")
}

func (f *fakeNetworks) Restore(string) (string, map[string]*network.EndpointSettings, network.PortMap, bool) {
	return "", nil, nil, false
}

func (f *fakeNetworks) HandOver(context.Context, string) error { return nil }

func (f *fakeNetworks) Teardown(context.Context, string) error { return f.note("teardown") }

func (f *fakeNetworks) Check(string, *network.EndpointSettings) error { return nil }

func (f *fakeNetworks) Connect(_ context.Context, _, ref string, settings *network.EndpointSettings, ports network.PortMap) (map[string]*network.EndpointSettings, network.PortMap, error) {
	return map[string]*network.EndpointSettings{ref: settings}, ports, f.note("connect")
}

func (f *fakeNetworks) Disconnect(context.Context, string, string, network.PortMap) (map[string]*network.EndpointSettings, network.PortMap, error) {
	return nil, nil, f.note("disconnect")
}

func (f *fakeNetworks) Rename(context.Context, string, string, map[string]*network.EndpointSettings) (map[string]*network.EndpointSettings, error) {
	return nil, f.note("rename")
}

func (f *fakeNetworks) Reconcile(context.Context, []string) error { return nil }

type fakeVolumes struct{ *journal }

func (f *fakeVolumes) Mounts(context.Context, string, *ctypes.Config, *ctypes.HostConfig, []mount.Mount) ([]specs.Mount, error) {
	return nil, f.note("mount")
}

func (f *fakeVolumes) Borrow(context.Context, string, *ctypes.Config, *ctypes.HostConfig, []mount.Mount) ([]specs.Mount, func() error, error) {
	return nil, func() error { return nil }, nil
}

func (f *fakeVolumes) Unmount(context.Context, string) error { return f.note("unmount") }

func (f *fakeVolumes) Points(string, *ctypes.Config, *ctypes.HostConfig, []mount.Mount) ([]ctypes.MountPoint, error) {
	return nil, nil
}

func (f *fakeVolumes) Shared(string, *ctypes.Config, *ctypes.HostConfig, []mount.Mount) ([]mount.Mount, error) {
	return nil, nil
}

func (f *fakeVolumes) Prepare(context.Context, string, *ctypes.Config, *ctypes.HostConfig, []mount.Mount, func(string) (*os.File, error)) error {
	return f.note("prepare")
}

func (f *fakeVolumes) Born(string) error { return nil }
func (f *fakeVolumes) Doom(string) error { return nil }

func (f *fakeVolumes) Reserve(string, *ctypes.Config, *ctypes.HostConfig, []mount.Mount, bool) error {
	return nil
}

func (f *fakeVolumes) Reconcile(context.Context) error { return nil }

func (f *fakeVolumes) Release(context.Context, string, bool) error { return f.note("release") }

// fakeStore is the database.
type fakeStore struct {
	*journal
	mu      sync.Mutex // guards records
	records map[string][]byte
}

func (f *fakeStore) CreateContainer(id, _ string, record []byte) error {
	if err := f.note("store-create"); err != nil {
		return err
	}
	return f.put(id, record)
}

func (f *fakeStore) put(id string, record []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records[id] = record
	return nil
}

func (f *fakeStore) PutContainers(records map[string][]byte) error {
	if err := f.note("store-put"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, b := range records {
		if f.records[id] != nil {
			f.records[id] = b
		}
	}
	return nil
}

func (f *fakeStore) RenameContainer(id, _, _ string, record []byte) error {
	if err := f.note("store-rename"); err != nil {
		return err
	}
	return f.put(id, record)
}

func (f *fakeStore) DeleteContainer(id string) error {
	if err := f.note("store-delete"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.records, id)
	return nil
}

func (f *fakeStore) Containers() (out []store.Container, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, b := range f.records {
		out = append(out, store.Container{ID: id, Record: b})
	}
	return out, nil
}

// stored is what a new berthd would read.
func (f *fakeStore) stored(t *testing.T, id string) (*container.Record, container.Status) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	r, s, err := container.Decode(f.records[id])
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

// fakeEvents keeps the actions of containers.
type fakeEvents struct {
	mu      sync.Mutex // guards all
	actions []string
	awaited events.Action
	came    chan struct{} // closed when what is awaited has come
}

func (f *fakeEvents) Publish(m events.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.Type == events.ContainerEventType {
		f.actions = append(f.actions, string(m.Action))
		if m.Action == f.awaited {
			close(f.came)
			f.awaited = ""
		}
	}
}

// await returns a function that waits for the next event of an action.
func (f *fakeEvents) await(action events.Action) (wait func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.awaited, f.came = action, make(chan struct{})
	came := f.came
	return func() { <-came }
}

func (f *fakeEvents) count(action events.Action) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.actions {
		if a == string(action) {
			n++
		}
	}
	return n
}

// fakeConn is a client that sends nothing, stays until it is closed, and keeps
// what it got.
type fakeConn struct {
	*io.PipeReader
	mu  sync.Mutex // guards got
	got strings.Builder
}

func newConn() *fakeConn {
	r, _ := io.Pipe()
	return &fakeConn{PipeReader: r}
}

func (c *fakeConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got.Write(p)
}

func (c *fakeConn) CloseWrite() error { return nil }

func (c *fakeConn) output() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got.String()
}

func runtimeExit(id string, pid, code int) runtime.Event {
	return runtime.Event{Kind: runtime.KindExit, ID: id, Pid: pid, Exit: runtime.Exit{Code: code, At: time.Now()}}
}
