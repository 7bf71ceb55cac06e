package shim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	eventsapi "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/ttrpc"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/berth-engine/berth/pkg/logs"
	"github.com/berth-engine/berth/pkg/streams"
)

// bin holds the shim, its launcher and runc, built for the test; root is the containers' image.
var bin, root string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "berth-shim-test")
		if err == nil {
			defer os.RemoveAll(dir)
			bin, root = filepath.Join(dir, "bin"), filepath.Join(dir, "root")
			err = setUp()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func setUp() error {
	runc, err := os.ReadFile("../../bin/runc")
	if err != nil {
		return fmt.Errorf("these tests run containers (make bin/runc): %w", err)
	}
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	// A copy: a test takes it away.
	if err := os.WriteFile(filepath.Join(bin, "runc"), runc, 0o755); err != nil {
		return err
	}
	const cmds = "github.com/berth-engine/berth/cmd/"
	cmd := exec.Command("go", "build", "-tags", "no_grpc", "-o", bin+"/", cmds+"containerd-shim-berth-v2", cmds+"containerd-shim-berth-task")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("shim: %w: %s", err, out)
	}
	for _, d := range []string{"bin", "proc", "dev", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	busybox, err := os.ReadFile("/bin/busybox") // Debian: busybox-static
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), busybox, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"sh", "cat", "sleep", "seq", "dd", "yes", "head", "stty", "tr", "nslookup"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			return err
		}
	}
	return nil
}

var ids atomic.Int64

// rig is what containerd is to a shim: a bundle, an event service, a client.
type rig struct {
	t        *testing.T
	id, dir  string
	log      streams.Log
	socket   string
	shim     taskapi.TTRPCTaskService
	shimPid  int
	shimLog  *os.File
	pidfd    int
	conn     net.Conn
	eventsAt string
	inNetNS  string // that the container is in; "" makes one
}

const namespace = "berth-test"

func newRig(t *testing.T) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "berth-shim") // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	id := fmt.Sprintf("berth-shim-%d-%d", os.Getpid(), ids.Add(1))
	r := &rig{t: t, id: id, dir: dir, socket: filepath.Join(dir, "io", id+".sock"), eventsAt: filepath.Join(dir, "events.sock")}
	r.log = streams.Log{Driver: logs.JSONFile, Path: filepath.Join(dir, id+"-json.log")}
	l, err := net.Listen("unix", r.eventsAt)
	if err != nil {
		t.Fatal(err)
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	eventsapi.RegisterTTRPCEventsService(server, ignoreEvents{})
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(context.Background(), l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return r
}

type ignoreEvents struct{}

func (ignoreEvents) Forward(context.Context, *eventsapi.ForwardRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (r *rig) bundle() string { return filepath.Join(r.dir, "bundles", r.id) }

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// spec runs argv with next to no rights.
func (r *rig) spec(tty bool, argv ...string) *specs.Spec {
	return &specs.Spec{
		Version:  "1.2.0",
		Root:     &specs.Root{Path: root, Readonly: true},
		Hostname: "test",
		Process:  r.process(tty, argv...),
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=755"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666"}},
			{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"},
		},
		Linux: &specs.Linux{
			CgroupsPath: "/" + r.id,
			Namespaces:  []specs.LinuxNamespace{{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace, Path: r.inNetNS}},
		},
	}
}

func (r *rig) process(tty bool, argv ...string) *specs.Process {
	return &specs.Process{Terminal: tty, Args: argv, Env: []string{"PATH=/bin"}, Cwd: "/"}
}

// start starts the shim for a bundle of argv, as containerd does.
func (r *rig) start(tty bool, argv ...string) {
	r.t.Helper()
	r.must(os.MkdirAll(r.bundle(), 0o700))
	config, err := json.Marshal(r.spec(tty, argv...))
	r.must(err)
	r.must(os.WriteFile(filepath.Join(r.bundle(), "config.json"), config, 0o600))
	r.must(unix.Mkfifo(filepath.Join(r.bundle(), "log"), 0o700))
	r.shimLog, err = os.OpenFile(filepath.Join(r.bundle(), "log"), os.O_RDWR|unix.O_NONBLOCK, 0)
	r.must(err)
	r.launch()
	r.t.Cleanup(r.cleanUp)
}

// launch starts the shim.
func (r *rig) launch() {
	r.t.Helper()
	address := r.action("start")
	var boot bootapi.BootstrapResult
	r.must(proto.Unmarshal(address, &boot))
	if boot.Version != 3 || boot.Protocol != "ttrpc" {
		r.t.Fatalf("%+v", &boot)
	}
	var err error
	r.conn, err = net.Dial("unix", strings.TrimPrefix(boot.Address, "unix://"))
	r.must(err)
	r.shim = taskapi.NewTTRPCTaskClient(ttrpc.NewClient(r.conn))
	c, err := r.shim.Connect(r.t.Context(), &taskapi.ConnectRequest{ID: r.id})
	r.must(err)
	r.shimPid = int(c.ShimPid)
	r.pidfd, err = unix.PidfdOpen(r.shimPid, 0)
	r.must(err)
}

// action runs one of the shim's short-lived actions.
func (r *rig) action(name string) []byte {
	r.t.Helper()
	dir := filepath.Join(r.dir, "s")
	params, err := proto.Marshal(&bootapi.BootstrapParams{
		InstanceID: r.id, Namespace: namespace, LogLevel: bootapi.LogLevel_LOG_LEVEL_INFO,
		ContainerdGrpcAddress: r.eventsAt, ContainerdTtrpcAddress: r.eventsAt, SocketDir: &dir,
	})
	r.must(err)
	cmd := exec.Command(filepath.Join(bin, "containerd-shim-berth-v2"), "-namespace", namespace, "-address", r.eventsAt, "-id", r.id, "-bundle", r.bundle(), name)
	cmd.Dir = r.bundle()
	cmd.Env = append(os.Environ(), "TTRPC_ADDRESS="+r.eventsAt)
	cmd.Stdin = bytes.NewReader(params)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("shim %s: %v: %s", name, err, stderr.String())
	}
	return stdout.Bytes()
}

// cleanUp kills what a failed test left, and shows what the shim said about it.
func (r *rig) cleanUp() {
	if r.t.Failed() {
		_ = r.shimLog.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		said, _ := io.ReadAll(r.shimLog)
		r.t.Logf("the shim said: %s", said)
	}
	if !r.gone(0) {
		_ = unix.Kill(r.shimPid, unix.SIGKILL)
		r.gone(-1)
		r.action("delete")
	}
	_ = r.conn.Close()
	_ = r.shimLog.Close()
	_ = unix.Close(r.pidfd)
	r.must(os.RemoveAll(r.bundle()))
}

// gone waits for the shim's end, for ever when ms is -1.
func (r *rig) gone(ms int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(r.pidfd), Events: unix.POLLIN}}, ms)
		if !errors.Is(err, unix.EINTR) {
			return n > 0
		}
	}
}

func (r *rig) config() streams.Config {
	return streams.Config{ID: r.id, Socket: r.socket, Log: r.log}
}

// foreign is a request for the container with its output at uri.
func (r *rig) foreign(uri string) *taskapi.CreateTaskRequest {
	r.t.Helper()
	o, err := typeurl.MarshalAnyToProto(&options.Options{BinaryName: filepath.Join(bin, "runc"), Root: filepath.Join(r.dir, "runc")})
	r.must(err)
	return &taskapi.CreateTaskRequest{ID: r.id, Bundle: r.bundle(), Stdout: uri, Stderr: uri, Options: o}
}

func (r *rig) createErr(c streams.Config) error {
	q := r.foreign(streams.URI(c))
	if q.Terminal = c.Tty; c.Stdin {
		q.Stdin = q.Stdout
	}
	_, err := r.shim.Create(r.t.Context(), q)
	return err
}

// create starts a shim and makes the container in it.
func (r *rig) create(c streams.Config, argv ...string) {
	r.t.Helper()
	r.start(c.Tty, argv...)
	r.must(r.createErr(c))
}

func (r *rig) run(exec string) {
	r.t.Helper()
	_, err := r.shim.Start(r.t.Context(), &taskapi.StartRequest{ID: r.id, ExecID: exec})
	r.must(err)
}

func (r *rig) exec(exec string, c streams.Config, argv ...string) {
	r.t.Helper()
	c.Exec, c.Log = exec, streams.Log{}
	uri := streams.URI(c)
	spec, err := json.Marshal(r.process(c.Tty, argv...))
	r.must(err)
	q := &taskapi.ExecProcessRequest{ID: r.id, ExecID: exec, Terminal: c.Tty, Stdout: uri, Stderr: uri, Spec: &anypb.Any{Value: spec}}
	if c.Stdin {
		q.Stdin = uri
	}
	_, err = r.shim.Exec(r.t.Context(), q)
	r.must(err)
}

func (r *rig) wait(exec string) int {
	r.t.Helper()
	w, err := r.shim.Wait(r.t.Context(), &taskapi.WaitRequest{ID: r.id, ExecID: exec})
	r.must(err)
	return int(w.ExitStatus)
}

func (r *rig) kill() {
	r.t.Helper()
	_, err := r.shim.Kill(r.t.Context(), &taskapi.KillRequest{ID: r.id, Signal: uint32(unix.SIGKILL)})
	r.must(err)
}

func (r *rig) delete(exec string) int {
	r.t.Helper()
	d, err := r.shim.Delete(r.t.Context(), &taskapi.DeleteRequest{ID: r.id, ExecID: exec})
	r.must(err)
	return int(d.ExitStatus)
}

func (r *rig) shutdown() {
	r.t.Helper()
	_, err := r.shim.Shutdown(r.t.Context(), &taskapi.ShutdownRequest{ID: r.id})
	if err != nil && !errors.Is(err, ttrpc.ErrClosed) {
		r.t.Fatal(err)
	}
}

// end waits for the container, deletes it and waits for the shim's end.
func (r *rig) end() int {
	r.t.Helper()
	r.wait("")
	status := r.delete("")
	r.shutdown()
	r.gone(-1)
	if left, _ := filepath.Glob(filepath.Join(r.dir, "*", "*.sock")); left != nil {
		r.t.Errorf("sockets left: %v", left)
	}
	if left, _ := os.ReadDir(filepath.Join(r.dir, "s")); len(left) != 0 {
		r.t.Errorf("shim sockets left: %v", left)
	}
	return status
}

func (r *rig) attach(q streams.Request) *net.UnixConn {
	r.t.Helper()
	conn, err := streams.Attach(r.t.Context(), r.socket, q)
	r.must(err)
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (r *rig) output(q streams.Request) *net.UnixConn {
	r.t.Helper()
	q.Stdout, q.Stderr = true, true
	return r.attach(q)
}

// demux takes Docker's framing apart, to the end of conn.
func (r *rig) demux(conn io.Reader) (stdout, stderr string) {
	r.t.Helper()
	all, err := io.ReadAll(conn)
	r.must(err)
	var out [3]strings.Builder
	for len(all) > 0 {
		if len(all) < streams.HeaderSize || all[0] != 1 && all[0] != 2 {
			r.t.Fatalf("no frame: %.40q", all)
		}
		n := int(all[4])<<24 | int(all[5])<<16 | int(all[6])<<8 | int(all[7])
		out[all[0]].Write(all[streams.HeaderSize : streams.HeaderSize+n])
		all = all[streams.HeaderSize+n:]
	}
	return out[1].String(), out[2].String()
}

// logged is what stands in the log, by stream.
func (r *rig) logged() (stdout, stderr string) {
	r.t.Helper()
	var out, errs strings.Builder
	o := logs.ReadOptions{Tail: -1, Stdout: true, Stderr: true}
	r.must(logs.Read(r.t.Context(), r.log, o, func(m *logs.Message) error {
		if m.Source == "stderr" {
			errs.Write(m.Line)
		} else {
			out.Write(m.Line)
		}
		return nil
	}))
	return out.String(), errs.String()
}
