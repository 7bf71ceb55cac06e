package shim_test

import (
	"bufio"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/berth-engine/berth/pkg/logs"
	"github.com/berth-engine/berth/pkg/streams"
)

func count(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		b.WriteString(strconv.Itoa(i))
		b.WriteByte('\n')
	}
	return b.String()
}

func TestOutputWithoutClients(t *testing.T) {
	r := newRig(t)
	r.create(r.config(), "sh", "-c", "seq 50000; seq 10 >&2; echo -n end; exit 3")
	r.run("")
	if status := r.end(); status != 3 {
		t.Error("status", status)
	}
	out, errs := r.logged()
	if out != count(50000)+"end" || errs != count(10) {
		t.Errorf("%d and %d bytes, ending in %q", len(out), len(errs), out[max(0, len(out)-20):])
	}
}

func TestFirstAndLastByte(t *testing.T) {
	for range 10 {
		r := newRig(t)
		r.create(r.config(), "sh", "-c", "echo first; echo last >&2")
		conn := r.output(streams.Request{})
		r.run("")
		r.end()
		if out, errs := r.demux(conn); out != "first\n" || errs != "last\n" {
			t.Fatalf("%q, %q", out, errs)
		}
	}
}

func TestClientsChooseStreams(t *testing.T) {
	r := newRig(t)
	r.create(r.config(), "sh", "-c", "echo out; echo err >&2")
	both, out, errs := r.output(streams.Request{}), r.attach(streams.Request{Stdout: true}), r.attach(streams.Request{Stderr: true})
	r.run("")
	r.wait("")
	for conn, want := range map[*net.UnixConn][2]string{both: {"out\n", "err\n"}, out: {"out\n", ""}, errs: {"", "err\n"}} {
		if o, e := r.demux(conn); o != want[0] || e != want[1] {
			t.Errorf("%q, %q; want %q", o, e, want)
		}
	}
	late := r.output(streams.Request{})
	if o, e := r.demux(late); o != "" || e != "" {
		t.Errorf("after the end: %q, %q", o, e)
	}
	if _, err := streams.Attach(t.Context(), r.socket, streams.Request{Exec: "x"}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	r.end()
	if _, err := streams.Attach(t.Context(), r.socket, streams.Request{}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
}

// TestSlowClient: a client that reads nothing neither stops the container nor the
// delete, and still gets everything from a shim that waits for it, while the next
// shim of the same container is at work already.
func TestSlowClient(t *testing.T) {
	const lines, size = 200000, 1288895
	r := newRig(t)
	r.create(r.config(), "seq", strconv.Itoa(lines))
	slow := r.output(streams.Request{})
	r.run("")
	r.wait("")
	r.delete("")
	r.shutdown()
	if out, _ := r.logged(); len(out) != size {
		t.Errorf("%d bytes in the log", len(out))
	}
	if r.gone(0) {
		t.Error("the shim did not wait")
	}
	r.must(os.RemoveAll(r.bundle()))

	next := newRig(t)
	next.id, next.dir, next.eventsAt, next.socket, next.log = r.id, r.dir, r.eventsAt, r.socket, r.log
	next.create(next.config(), "sh", "-c", "echo next; cat")
	if next.shimPid == r.shimPid {
		t.Fatal("the ending shim was taken again")
	}
	conn := next.output(streams.Request{})
	next.run("")
	if out, _ := r.demux(slow); out != count(lines) {
		t.Errorf("slow client got %d bytes", len(out))
	}
	r.gone(-1)
	next.end()
	if out, _ := r.demux(conn); out != "next\n" {
		t.Errorf("%q", out)
	}
}

func TestStdin(t *testing.T) {
	big := strings.Repeat("0123456789abcde\n", 40000)
	for name, c := range map[string]struct{ early bool }{"before start": {true}, "after start": {false}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			cfg := r.config()
			cfg.Stdin, cfg.StdinOnce = true, true
			r.create(cfg, "cat")
			conn := r.output(streams.Request{Stdin: true})
			if !c.early {
				r.run("")
			}
			sent := make(chan error, 1)
			go func() {
				_, err := io.WriteString(conn, big)
				_ = conn.CloseWrite()
				sent <- err
			}()
			if c.early {
				r.run("")
			}
			if out, _ := r.demux(conn); out != big {
				t.Errorf("%d bytes of %d", len(out), len(big))
			}
			r.must(<-sent)
			r.end()
		})
	}
}

func TestEmptyStdin(t *testing.T) {
	for range 5 {
		r := newRig(t)
		cfg := r.config()
		cfg.Stdin, cfg.StdinOnce = true, true
		r.create(cfg, "cat")
		conn := r.output(streams.Request{Stdin: true})
		r.must(conn.CloseWrite())
		r.run("")
		r.demux(conn)
		r.end()
	}
}

// TestStdinStaysOpen: without StdinOnce input outlives its clients, till CloseIO.
func TestStdinStaysOpen(t *testing.T) {
	r := newRig(t)
	cfg := r.config()
	cfg.Stdin = true
	r.create(cfg, "cat")
	all := r.output(streams.Request{})
	r.run("")
	for _, s := range []string{"one\n", "two\n"} {
		conn := r.output(streams.Request{Stdin: true})
		_, err := io.WriteString(conn, s)
		r.must(err)
		r.must(conn.CloseWrite())
		if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasSuffix(got, s) {
			t.Errorf("%q, %v", got, err)
		}
		conn.Close()
	}
	_, err := r.shim.CloseIO(t.Context(), &taskapi.CloseIORequest{ID: r.id, Stdin: true})
	r.must(err)
	if out, _ := r.demux(all); out != "one\ntwo\n" {
		t.Errorf("%q", out)
	}
	r.end()
}

// TestUnreadStdin: a process that never reads what clients send it ends all the same.
func TestUnreadStdin(t *testing.T) {
	r := newRig(t)
	cfg := r.config()
	cfg.Stdin = true
	r.create(cfg, "sh", "-c", "echo up; exec sleep 1000")
	conn := r.output(streams.Request{Stdin: true})
	r.run("")
	blocked := make(chan struct{})
	go func() {
		defer close(blocked)
		_, _ = io.WriteString(conn, strings.Repeat("x", 1<<20))
	}()
	line := make([]byte, streams.HeaderSize+3)
	_, err := io.ReadFull(conn, line)
	r.must(err)
	r.kill()
	r.end()
	<-blocked
}

func TestTerminal(t *testing.T) {
	r := newRig(t)
	cfg := r.config()
	cfg.Tty, cfg.Stdin = true, true
	r.create(cfg, "sh", "-c", "read x; echo got $x >&2; stty size; sleep 0.01; exit 6")
	conn := r.output(streams.Request{Stdin: true})
	r.run("")
	_, err := r.shim.ResizePty(t.Context(), &taskapi.ResizePtyRequest{ID: r.id, Width: 33, Height: 22})
	r.must(err)
	_, err = io.WriteString(conn, "typed\n")
	r.must(err)
	r.must(conn.CloseWrite()) // a terminal does not end with its client's input
	all, err := io.ReadAll(conn)
	r.must(err)
	const want = "typed\r\ngot typed\r\n22 33\r\n"
	if string(all) != want {
		t.Errorf("%q", all)
	}
	if status := r.end(); status != 6 {
		t.Error("status", status)
	}
	if out, _ := r.logged(); out != want {
		t.Errorf("logged %q", out)
	}
}

// descriptors is how many files the shim has open.
func (r *rig) descriptors() int {
	r.t.Helper()
	fds, err := os.ReadDir("/proc/" + strconv.Itoa(r.shimPid) + "/fd")
	r.must(err)
	return len(fds)
}

// TestClientsThatGo: clients that vanish, from a silent container and from one
// that prints, cost nothing afterwards and disturb nobody.
func TestClientsThatGo(t *testing.T) {
	r := newRig(t)
	cfg := r.config()
	cfg.Stdin = true
	r.create(cfg, "cat")
	r.run("")
	stays := r.output(streams.Request{Stdin: true})
	_, err := io.WriteString(stays, "a")
	r.must(err)
	_, err = io.ReadFull(stays, make([]byte, streams.HeaderSize+1))
	r.must(err)
	before := r.descriptors()
	for i := range 30 {
		conn := r.output(streams.Request{Stdin: i%2 == 0})
		if i%3 == 0 {
			r.must(conn.CloseWrite())
		}
		conn.Close()
	}
	// The shim learns of it by an event that this process cannot see.
	for r.descriptors() > before {
		_ = unix.Nanosleep(&unix.Timespec{Nsec: 1e6}, nil)
	}
	_, err = io.WriteString(stays, "b")
	r.must(err)
	got := make([]byte, streams.HeaderSize+1)
	_, err = io.ReadFull(stays, got) // before CloseIO, which overtakes what is still in the socket
	r.must(err)
	_, err = r.shim.CloseIO(t.Context(), &taskapi.CloseIORequest{ID: r.id, Stdin: true})
	r.must(err)
	if out, _ := r.demux(stays); out != "" || got[streams.HeaderSize] != 'b' {
		t.Errorf("%q, then %q", got, out)
	}
	r.end()
}

func TestCreateFails(t *testing.T) {
	r := newRig(t)
	r.start(false, "no-such-command")
	if err := errgrpc.ToNative(r.createErr(r.config())); err == nil || !strings.Contains(err.Error(), "no-such-command") {
		t.Error(err)
	}
	if _, err := os.Stat(r.socket); !os.IsNotExist(err) {
		t.Error(err)
	}
	bad := r.config()
	bad.Log.Driver = "fancy"
	const want = "failed to initialize logging driver: logger: no log driver named 'fancy' is registered"
	if err := errgrpc.ToNative(r.createErr(bad)); !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) {
		t.Error(err)
	}
	if err := errgrpc.ToNative(r.createErr(streams.Config{ID: r.id, Socket: "relative"})); !errdefs.IsInvalidArgument(err) {
		t.Error(err)
	}
	r.shutdown()
	r.gone(-1)
}

// TestState: other clients of containerd see what was asked for, and no pipe.
func TestState(t *testing.T) {
	r := newRig(t)
	cfg := r.config()
	cfg.Stdin = true
	r.create(cfg, "cat")
	s, err := r.shim.State(t.Context(), &taskapi.StateRequest{ID: r.id})
	r.must(err)
	uri := streams.URI(cfg)
	if s.Stdout != uri || s.Stderr != uri || s.Stdin != uri {
		t.Errorf("%v", s)
	}
	r.kill()
	r.end()
}

// TestForeignStreams: what is no berth: URI works as in upstream's shim.
// TestPidsAfterTheEnd: a containerd that comes back must find a process.
func TestPidsAfterTheEnd(t *testing.T) {
	r := newRig(t)
	r.create(r.config(), "sh", "-c", "exit 3")
	r.run("")
	if code := r.wait(""); code != 3 {
		t.Fatal(code)
	}
	state, err := r.shim.State(t.Context(), &taskapi.StateRequest{ID: r.id})
	r.must(err)
	pids, err := r.shim.Pids(t.Context(), &taskapi.PidsRequest{ID: r.id})
	r.must(err)
	if len(pids.Processes) != 1 || pids.Processes[0].Pid != state.Pid {
		t.Errorf("%v, want %d", pids.Processes, state.Pid)
	}
	r.end()
}

// TestStuckLog: a container whose log waits for its server stands still, and its
// end does not wait.
func TestStuckLog(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	r := newRig(t)
	r.log.Driver, r.log.Options = logs.Syslog, map[string]string{"syslog-address": "tcp://" + server.Addr().String(), "cache-max-size": "1g"}
	r.create(r.config(), "sh", "-c", "yes 0123456789; echo never")
	conn, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r.run("")
	size := -1
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for { // until the log has stood still for a while
		out, _ := r.logged()
		if len(out) == size && size > 0 {
			break
		}
		size = len(out)
		<-tick.C
	}
	r.kill()
	r.wait("")
	r.end()
	if out, _ := r.logged(); len(out) < size || strings.Contains(out, "never") {
		t.Errorf("%d bytes in the local copy, %d before the end", len(out), size)
	}
}

func TestForeignStreams(t *testing.T) {
	r := newRig(t)
	r.start(false, "sh", "-c", "echo hi")
	file := filepath.Join(r.dir, "out")
	_, err := r.shim.Create(t.Context(), r.foreign("file://"+file))
	r.must(err)
	r.run("")
	r.end()
	if b, err := os.ReadFile(file); err != nil || string(b) != "hi\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestKilledShim: the log ends in whole lines, and the clean-up that containerd
// runs takes the socket away.
func TestKilledShim(t *testing.T) {
	r := newRig(t)
	r.create(r.config(), "sh", "-c", "echo hi; exec sleep 1000")
	conn := r.output(streams.Request{})
	r.run("")
	_, err := io.ReadFull(conn, make([]byte, streams.HeaderSize+3))
	r.must(err)
	r.must(unix.Kill(r.shimPid, unix.SIGKILL))
	r.gone(-1)
	if _, err := os.Stat(r.socket); err != nil {
		t.Error("the socket should be stale now:", err)
	}
	r.action("delete")
	if _, err := os.Stat(r.socket); !os.IsNotExist(err) {
		t.Error(err)
	}

	// The socket of the shim itself is still there, which upstream's manager knows to replace.
	killed := r.shimPid
	_ = r.conn.Close()
	_ = unix.Close(r.pidfd)
	r.launch()
	if r.shimPid == killed {
		t.Error("no other shim was started")
	}
}

// TestStopAfterDelete: containerd's clean-up of a task that was deleted says how
// it ended, though runc is no longer asked.
func TestStopAfterDelete(t *testing.T) {
	r := newRig(t)
	r.create(r.config(), "sh", "-c", "exit 7")
	r.run("")
	r.end()
	r.must(os.Rename(filepath.Join(bin, "runc"), filepath.Join(bin, "runc.kept")))
	defer func() { r.must(os.Rename(filepath.Join(bin, "runc.kept"), filepath.Join(bin, "runc"))) }()
	var d taskapi.DeleteResponse
	r.must(proto.Unmarshal(r.action("delete"), &d))
	if d.ExitStatus != 7 || d.Pid == 0 {
		t.Errorf("%v", &d)
	}
}
