package launch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/runc"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	upstream "github.com/containerd/containerd/v2/pkg/shim"
	runcC "github.com/containerd/go-runc"
	"google.golang.org/protobuf/proto"
)

// bootstrap is what containerd says of a start.
func bootstrap(t testing.TB, o *options.Options) []byte {
	t.Helper()
	dir := "/run/s"
	p := &bootapi.BootstrapParams{
		InstanceID: "c1", Namespace: "ns", LogLevel: -4, ContainerdVersion: "2", ContainerdTtrpcAddress: "/t",
		ContainerdGrpcAddress: "/run/containerd.sock", ContainerdBinary: "/b", SocketDir: &dir,
	}
	if o != nil {
		if err := p.AddExtension(o); err != nil {
			t.Fatal(err)
		}
	}
	b, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParams(t *testing.T) {
	for name, tt := range map[string]struct {
		input []byte
		want  params
	}{
		"none":        {nil, params{}},
		"no options":  {bootstrap(t, nil), params{address: "/run/containerd.sock", socketDir: "/run/s"}},
		"options":     {bootstrap(t, &options.Options{BinaryName: "/runc", Root: "/r"}), params{address: "/run/containerd.sock", socketDir: "/run/s"}},
		"shim cgroup": {bootstrap(t, &options.Options{BinaryName: "/runc", ShimCgroup: "/a"}), params{address: "/run/containerd.sock", socketDir: "/run/s", shimCgroup: true}},
	} {
		if got, err := parseParams(tt.input); got != tt.want || err != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"\x0a", "\x0a\x05abc", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "{}"} {
		if _, err := parseParams([]byte(bad)); !errors.Is(err, errMessage) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParams(f *testing.F) {
	f.Add(bootstrap(f, nil))
	f.Add(bootstrap(f, &options.Options{ShimCgroup: "/a"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := parseParams(b)
		var p bootapi.BootstrapParams
		if proto.Unmarshal(b, &p) != nil || err != nil {
			return
		}
		if got.address != p.GetContainerdGrpcAddress() || got.socketDir != p.GetSocketDir() {
			t.Errorf("%+v of %v", got, &p)
		}
	})
}

// TestResult and TestDeleted: containerd understands them.
func TestResult(t *testing.T) {
	var r bootapi.BootstrapResult
	if err := proto.Unmarshal(result("unix:///run/s/1"), &r); err != nil {
		t.Fatal(err)
	}
	want := &bootapi.BootstrapResult{Version: 3, Address: "unix:///run/s/1", Protocol: "ttrpc"}
	if err := want.AddExtension(&types.MountCapabilities{}); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&r, want) {
		t.Errorf("%v, want %v", &r, want)
	}
}

func TestSocketPath(t *testing.T) {
	ctx := namespaces.WithNamespace(context.Background(), "ns")
	want, err := upstream.CreateSocketAddress(ctx, "/run/s", "/run/containerd.sock", "c1", false)
	if got := "unix://" + socketPath("/run/s", "/run/containerd.sock", "ns", "c1"); got != want || err != nil {
		t.Errorf("%s, want %s, %v", got, want, err)
	}
}

func TestParse(t *testing.T) {
	full := []string{"-namespace", "ns", "-address", "/a", "-publish-binary", "/b", "-id", "c1", "-bundle", "/c", "-debug", "start"}
	if a, err := parse(full); err != nil || a != (action{namespace: "ns", id: "c1", address: "/a", debug: true, name: "start"}) {
		t.Errorf("%+v, %v", a, err)
	}
	for _, args := range []string{"", "-v", "-info", "start", "-namespace ns start", "-id c1 delete", "-namespace ns -id c1", "-namespace ns -id c1 -socket /s start", "-namespace ns -id c1 start now"} {
		if a, err := parse(strings.Fields(args)); !errors.Is(err, errUnusual) {
			t.Errorf("%q: %+v, %v", args, a, err)
		}
	}
}

// TestUnusual leaves to the shim's own program what it cannot do, with what it has read.
func TestUnusual(t *testing.T) {
	t.Chdir(t.TempDir())
	command := []string{"shim", "-namespace", "ns", "-id", "c1", "-address", "/a", "start"}
	for name, input := range map[string][]byte{
		"no folder for sockets": {},
		"a cgroup for the shim": bootstrap(t, &options.Options{ShimCgroup: "/a"}),
	} {
		var out bytes.Buffer
		if got, err := run(command, bytes.NewReader(input), &out); !errors.Is(err, errUnusual) || !bytes.Equal(got, input) || out.Len() > 0 {
			t.Errorf("%s: %q, %v, %q", name, got, err, out.String())
		}
	}
	if _, err := run(command, strings.NewReader("\x0a"), io.Discard); !errors.Is(err, errMessage) {
		t.Error(err)
	}
}

// TestListen: only root gets in, and a socket that is there is left alone.
func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Error(info.Mode(), err)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if _, err := listen(path); err == nil {
		t.Error("a second one listens there")
	}
	if _, err := listen(filepath.Join(path, "none")); err == nil {
		t.Error("listens in a folder that is none")
	}
}

// TestClean answers with how the task ended when the shim deleted it completely.
func TestClean(t *testing.T) {
	dir := t.TempDir()
	bundle := filepath.Join(dir, "c1")
	if err := os.MkdirAll(bundle, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(bundle)
	socket := filepath.Join(dir, "streams.sock")
	if err := errors.Join(os.WriteFile(socket, nil, 0o600), os.Symlink(socket, SocketLink)); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	unusual := func(why string) {
		t.Helper()
		if _, err := clean("c1"); !errors.Is(err, errUnusual) {
			t.Errorf("%s: %v", why, err)
		}
	}
	unusual("no mark")
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the stream socket is still there")
	}
	write(DeletedMark, "")
	unusual("no exit")
	write(exitStatus, `{"Pid": 0}`)
	unusual("no process")
	if err := runc.WriteExitStatus(bundle, runcC.Exit{Pid: 42, Status: 137, Timestamp: at}); err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{bundle, dir} { // the bundle itself, or another's beside it
		if in == dir {
			in = filepath.Join(dir, "c2")
			if err := os.Mkdir(in, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		t.Chdir(in)
		answer, err := clean("c1")
		if err != nil {
			t.Fatal(err)
		}
		var d taskapi.DeleteResponse
		if err := proto.Unmarshal(answer, &d); err != nil || d.GetPid() != 42 || d.GetExitStatus() != 137 || !d.GetExitedAt().AsTime().Equal(at) {
			t.Errorf("%v, %v", &d, err)
		}
	}
}
