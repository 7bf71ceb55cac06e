package shim

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/pkg/streams"
)

// client is one connection that joined a process.
type client struct {
	conn *net.UnixConn
	want streams.Request
	out  *queue
}

// errGone ends a client that closed its side.
var errGone = errors.New("client is gone")

// goodbye is how long a client may take to close its side after it was given the
// last byte. What it sends then is read and dropped: closing a unix socket with
// unread input gives its peer ECONNRESET instead of the end of file.
const goodbye = 10 * time.Second

// serve moves bytes until the process has ended and the client has everything, or
// the client is gone. moved is told of each piece of output that the client took,
// and flushed called when nothing is left to be sent.
func (c *client) serve(in *input, moved func(int), flushed func()) {
	var wg sync.WaitGroup
	wg.Go(func() { c.receive(in) })
	c.send(moved)
	flushed()
	_ = c.conn.SetReadDeadline(time.Now().Add(goodbye))
	wg.Wait()
	_ = c.conn.Close()
}

// send passes output on until the queue ends, and then ends the client's input.
func (c *client) send(moved func(int)) {
	var buf []byte
	for {
		p, ok := c.out.pop(buf)
		if !ok {
			break
		}
		for rest := p; len(rest) > 0; {
			n, err := c.conn.Write(rest[:min(len(rest), chunk)])
			if err != nil {
				c.out.fail(err)
				break
			}
			moved(n)
			rest = rest[n:]
		}
		buf = p
	}
	_ = c.conn.CloseWrite()
}

// receive passes input on until the client half-closes, and then waits for the
// client to be gone, which an idle container's output would not tell for long.
func (c *client) receive(in *input) {
	size := 32 << 10
	if !c.want.Stdin {
		in, size = nil, 512
	}
	buf := make([]byte, size)
	for {
		n, err := c.conn.Read(buf)
		if n > 0 && in != nil && in.write(buf[:n]) != nil {
			in = nil // the process closed it; the rest is dropped
		}
		if err == nil {
			continue
		}
		if in != nil {
			in.clientEnded()
		}
		if errors.Is(err, io.EOF) {
			_ = waitHangup(c.conn)
		}
		c.out.fail(errGone)
		return
	}
}

// waitHangup returns when the peer has closed its socket, not only its sending half.
func waitHangup(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd)}} //nolint:gosec // a descriptor
		n, err := unix.Poll(p, 0)
		return err != nil && !errors.Is(err, unix.EINTR) || n > 0 && p[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0
	})
}
