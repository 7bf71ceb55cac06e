package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// listener is set for the process that listens at a socket and is killed.
const listener = "BERTHD_TEST_LISTENER"

func TestMain(m *testing.M) {
	if path := os.Getenv(listener); path != "" {
		leave(path)
	}
	os.Exit(m.Run())
}

// leave listens at path, and ends while a child of it still has the socket: for as
// long as somebody holds the other end of its input.
func leave(path string) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		panic(err)
	}
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	if err != nil {
		panic(err)
	}
	child := exec.Command("cat")
	child.Stdin, child.ExtraFiles = os.Stdin, []*os.File{f}
	if err := child.Start(); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// TestListenUnix: the socket of a killed daemon is replaced, also while a child of its
// has it still; that of a daemon that lives stays.
func TestListenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sock")
	killed := exec.Command("/proc/self/exe")
	killed.Env = append(os.Environ(), listener+"="+path)
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close() // the child ends
	killed.Stdin = in
	if err := killed.Run(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatalf("nobody has the socket any more: %v", err)
	}
	c.Close()
	ls, err := listenUnix(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(ls)
	if _, err := listenUnix(path, ""); err == nil {
		t.Error("a socket that is served was replaced")
	}
}
