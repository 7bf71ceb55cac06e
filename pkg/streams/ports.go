package streams

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Port is a socket that holds a port of the host for a container.
type Port struct {
	UDP bool           `json:",omitempty"`
	To  netip.AddrPort // what comes to the socket goes there; the zero value: nothing comes
}

// PortsRequest is about the ports that the shim holds, instead of streams.
type PortsRequest struct {
	Take    []Port `json:",omitempty"` // a byte follows the request, and with it as many sockets
	Release bool   `json:",omitempty"` // lets go of all
}

// portsAtOnce is how many sockets go with one request: the kernel takes 253
// (SCM_MAX_FD of include/net/scm.h).
const portsAtOnce = 250

// givers is how many requests are under way: neither side waits for the other with
// each.
const givers = 4

// GivePorts hands sockets to the shim that listens on socket. It has copies: the
// caller's are still the caller's.
func GivePorts(ctx context.Context, socket string, ports []Port, fds []int) error {
	if len(ports) != len(fds) {
		return fmt.Errorf("%d sockets for %d ports: %w", len(fds), len(ports), errdefs.ErrInvalidArgument)
	}
	requests, ctx := errgroup.WithContext(ctx)
	requests.SetLimit(givers)
	for len(ports) > 0 {
		n := min(len(ports), portsAtOnce)
		some, with := ports[:n], fds[:n]
		requests.Go(func() error { return askPorts(ctx, socket, PortsRequest{Take: some}, with) })
		ports, fds = ports[n:], fds[n:]
	}
	return requests.Wait()
}

// ReleasePorts has the shim close the sockets that it was given; when it
// returns, others may have the ports. No shim is no error.
func ReleasePorts(ctx context.Context, socket string) error {
	err := askPorts(ctx, socket, PortsRequest{Release: true}, nil)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

func askPorts(ctx context.Context, socket string, q PortsRequest, fds []int) error {
	conn, err := dial(ctx, socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if err := writeLine(conn, Request{Ports: &q}); err != nil {
		return gone(err)
	}
	if len(fds) > 0 {
		if _, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(fds...), nil); err != nil {
			return gone(err)
		}
	}
	var resp Response
	if err := readLine(conn, &resp); err != nil {
		return gone(err)
	}
	return resp.Err()
}

// ReadPorts reads the sockets that follow a request to take n. They are the
// caller's.
func ReadPorts(conn *net.UnixConn, n int) (fds []int, err error) {
	if n > portsAtOnce {
		return nil, fmt.Errorf("%d sockets at once: %w", n, errdefs.ErrInvalidArgument)
	}
	var b [1]byte
	oob := make([]byte, unix.CmsgSpace(4*portsAtOnce))
	read, oobn, flags, _, err := conn.ReadMsgUnix(b[:], oob)
	if err != nil {
		return nil, err
	}
	if read == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	for _, m := range messages {
		rights, rerr := unix.ParseUnixRights(&m)
		if fds = append(fds, rights...); rerr != nil {
			err = rerr
		}
	}
	if err == nil && (len(fds) != n || flags&unix.MSG_CTRUNC != 0) {
		err = fmt.Errorf("%d sockets of %d: %w", len(fds), n, errdefs.ErrInvalidArgument)
	}
	if err != nil {
		for _, fd := range fds {
			_ = syscall.Close(fd)
		}
		return nil, err
	}
	return fds, nil
}
