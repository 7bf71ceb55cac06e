package api

import (
	"crypto/tls"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// watcher notices that the other side of a connection has closed it for good.
// Reading would tell as well, but the input belongs to the stream, may be left
// unread for long, and its end is not the end of the connection.
type watcher struct {
	file *os.File
	done chan struct{}
}

// watchPeer calls gone once when the peer closes c: at once on unix sockets,
// on TCP when a write is refused or both directions have ended. Other kinds of
// connection are not watched.
func watchPeer(c net.Conn, gone func()) (*watcher, error) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	duplicable, ok := c.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, nil
	}
	// A duplicate has its own entry in the runtime's poller, so that waiting
	// on it does not get in the way of readers of the connection.
	file, err := duplicable.File()
	if err != nil {
		return nil, err
	}
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	w := &watcher{file: file, done: make(chan struct{})}
	go w.run(raw, gone)
	return w, nil
}

func (w *watcher) run(raw syscall.RawConn, gone func()) {
	defer close(w.done)
	// The function runs once, then after each event on the socket, until it
	// says true; closing the file ends the wait with an error.
	err := raw.Read(func(fd uintptr) bool { return hungUp(int(fd)) })
	if err == nil {
		gone()
	}
}

func hungUp(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd)}} // POLLHUP and POLLERR are always reported
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
}

// close ends the watch and waits for it. nil watches nothing.
func (w *watcher) close() {
	if w == nil {
		return
	}
	_ = w.file.Close()
	<-w.done
}
