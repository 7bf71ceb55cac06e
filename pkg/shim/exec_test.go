package shim_test

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/pkg/streams"
)

func TestExec(t *testing.T) {
	r := newRig(t)
	r.create(r.config(), "sleep", "1000")
	r.run("")
	cfg := r.config()
	cfg.Stdin = true
	for i := range 20 {
		id := "e" + strconv.Itoa(i)
		r.exec(id, cfg, "sh", "-c", "tr a-z A-Z; echo done >&2; exit 5")
		conn := r.output(streams.Request{Exec: id, Stdin: true})
		_, err := io.WriteString(conn, "hello")
		r.must(err)
		if i%2 == 0 {
			r.must(conn.CloseWrite()) // before the start
		}
		r.run(id)
		if i%2 == 1 {
			r.must(conn.CloseWrite())
		}
		if out, errs := r.demux(conn); out != "HELLO" || errs != "done\n" {
			t.Errorf("%q, %q", out, errs)
		}
		r.wait(id)
		if status := r.delete(id); status != 5 {
			t.Error("status", status)
		}
		if _, err := streams.Attach(t.Context(), r.socket, streams.Request{Exec: id}); !errdefs.IsNotFound(err) {
			t.Error(err)
		}
	}
	r.kill()
	r.end()
	if out, errs := r.logged(); out != "" || errs != "" {
		t.Errorf("execs were logged: %q, %q", out, errs)
	}
}

// TestExecNeverStarted, and one that cannot be: streams end.
func TestExecThatDoesNotRun(t *testing.T) {
	r := newRig(t)
	r.create(r.config(), "sleep", "1000")
	r.run("")
	r.exec("never", r.config(), "true")
	r.exec("cannot", r.config(), "no-such-command")
	never, cannot := r.output(streams.Request{Exec: "never"}), r.output(streams.Request{Exec: "cannot"})
	if _, err := r.shim.Start(t.Context(), &taskapi.StartRequest{ID: r.id, ExecID: "cannot"}); err == nil || !strings.Contains(err.Error(), "no-such-command") {
		t.Error(err)
	}
	for _, id := range []string{"never", "cannot"} {
		r.delete(id)
	}
	r.demux(never)
	r.demux(cannot)
	r.kill()
	r.end()
}

// TestExecLeavesAChild: what an exec left in the background and that holds its
// streams delays its delete, but not for ever.
func TestExecLeavesAChild(t *testing.T) {
	r := newRig(t)
	r.create(r.config(), "sleep", "1000")
	r.run("")
	r.exec("e", r.config(), "sh", "-c", "echo hi; sleep 1000 & exit 4")
	conn := r.output(streams.Request{Exec: "e"})
	r.run("e")
	r.wait("e")
	if status := r.delete("e"); status != 4 {
		t.Error("status", status)
	}
	if out, _ := r.demux(conn); out != "hi\n" {
		t.Errorf("%q", out)
	}
	r.kill()
	r.end()
}

// TestExecLimit: what runs too long is killed with all of its session, and what
// ends in time is not touched.
func TestExecLimit(t *testing.T) {
	r := newRig(t)
	r.create(r.config(), "sleep", "1000")
	r.run("")
	before, err := r.shim.Pids(t.Context(), &taskapi.PidsRequest{ID: r.id})
	r.must(err)
	c := r.config()
	c.Limit = time.Second
	r.exec("long", c, "sh", "-c", "sleep 1000 & echo hi; sleep 1000")
	conn := r.output(streams.Request{Exec: "long", Stdout: true})
	r.run("long")
	if _, err := io.ReadFull(conn, make([]byte, streams.HeaderSize+len("hi\n"))); err != nil {
		t.Fatal(err)
	}
	pids, err := r.shim.Pids(t.Context(), &taskapi.PidsRequest{ID: r.id})
	r.must(err)
	var ends []unix.PollFd
	for _, p := range pids.Processes {
		if p.Pid == before.Processes[0].Pid {
			continue
		}
		fd, err := unix.PidfdOpen(int(p.Pid), 0)
		r.must(err)
		defer unix.Close(fd)
		ends = append(ends, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	if len(ends) < 2 {
		t.Fatalf("processes: %v", pids.Processes)
	}
	for i := range ends {
		for ends[i].Revents == 0 { // a signal of the Go runtime's interrupts, too
			if _, err := unix.Poll(ends[i:i+1], -1); err != nil && !errors.Is(err, unix.EINTR) {
				t.Fatal(err)
			}
		}
	}
	r.wait("long")
	if status := r.delete("long"); status != 137 {
		t.Error("status", status)
	}
	c.Limit = time.Hour
	r.exec("short", c, "sh", "-c", "exit 5")
	r.run("short")
	r.wait("short")
	if status := r.delete("short"); status != 5 {
		t.Error("status", status)
	}
	r.kill()
	r.end()
}
