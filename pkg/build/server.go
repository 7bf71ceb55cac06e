package build

import (
	"context"
	"net"
	"sync"

	"github.com/berth-engine/berth/pkg/build/traces"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// maxMessage bounds a message of the control API, in bytes: BuildKit's own
// (util/defaults).
const maxMessage = 16 << 20

// server speaks gRPC on connections that are handed to it.
type server struct {
	grpc    *grpc.Server
	conns   chan net.Conn
	stopped chan struct{}
	once    sync.Once
	done    chan struct{}
}

func newServer(recorder *traces.Recorder, register func(*grpc.Server)) *server {
	s := &server{
		grpc: grpc.NewServer(
			grpc.StatsHandler(recorder.Calls()),
			grpc.ChainUnaryInterceptor(traces.Complete, grpcerrors.UnaryServerInterceptor, readCarefully), grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
			grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
			grpc.WaitForHandlers(true)),
		conns: make(chan net.Conn), stopped: make(chan struct{}), done: make(chan struct{}),
	}
	register(s.grpc)
	healthv1.RegisterHealthServer(s.grpc, health.NewServer())
	go func() {
		defer close(s.done)
		_ = s.grpc.Serve(s) // ends by close alone
	}()
	return s
}

// Accept, Close and Addr make the server its own listener.
func (s *server) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.stopped:
		return nil, net.ErrClosed
	}
}

func (s *server) Close() error {
	s.once.Do(func() { close(s.stopped) })
	return nil
}

func (s *server) Addr() net.Addr { return &net.UnixAddr{Name: "berthd", Net: "unix"} }

// serve returns when conn is closed, by either side or because ctx ended.
func (s *server) serve(ctx context.Context, conn net.Conn) error {
	c := &watched{Conn: conn, closed: make(chan struct{})}
	select {
	case s.conns <- c:
	case <-s.stopped:
		_ = conn.Close()
		return net.ErrClosed
	case <-ctx.Done():
		_ = conn.Close()
		return ctx.Err()
	}
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	<-c.closed
	return nil
}

// client connects to the server in this process.
func (s *server) client(ctx context.Context) (*bkclient.Client, error) {
	return bkclient.New(ctx, "", bkclient.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case s.conns <- theirs:
			return ours, nil
		case <-s.stopped:
			return nil, net.ErrClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}))
}

// close cuts every connection off, which cancels what they asked for, and waits
// until that has ended.
func (s *server) close() error {
	s.grpc.Stop()
	<-s.done
	return nil
}

// watched is a connection that tells of its end.
type watched struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (w *watched) Close() error {
	err := w.Conn.Close()
	w.once.Do(func() { close(w.closed) })
	return err
}
