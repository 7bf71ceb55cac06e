package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// DefaultPatience is how long Open waits for an existing containerd: shorter than
// what service managers give a service to start in (systemd: 90 s), so that what is
// missing is told by who knows it.
const DefaultPatience = time.Minute

// reconnect is how soon a containerd that was away is found again. Its client would
// wait ten seconds in the end, in which every request fails.
var reconnect = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 500 * time.Millisecond},
	MinConnectTimeout: 5 * time.Second,
}

// dial connects to an existing containerd, which may be about to start. The
// connection comes back by itself when that containerd restarts.
func dial(ctx context.Context, c Config) (*client.Client, func() error, error) {
	logToSlog(c.Debug)
	patience := c.Patience
	if patience == 0 {
		patience = DefaultPatience
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := awaitSocket(ctx, c.Address); err != nil {
		return nil, nil, err
	}
	cl, err := client.New(c.Address, client.WithDefaultNamespace(c.Namespace), client.WithExtraDialOpts([]grpc.DialOption{grpc.WithConnectParams(reconnect)}))
	if err != nil {
		return nil, nil, fmt.Errorf("containerd at %s: %w", c.Address, err)
	}
	if _, err := cl.Version(ctx); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("containerd at %s does not answer: %w", c.Address, err), cl.Close())
	}
	return cl, cl.Close, nil
}

// awaitSocket returns when something listens at the path, or the context ends.
// Nothing tells that a socket is listened on: it is tried again and again.
func awaitSocket(ctx context.Context, path string) error {
	began, said := time.Now(), time.Time{}
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err == nil {
			return conn.Close()
		}
		if time.Since(said) > 10*time.Second {
			said = time.Now()
			slog.Warn("waiting for containerd", "socket", path, "since", time.Since(began).Round(time.Second), "error", err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("containerd does not listen at %s after %s: %v", path, time.Since(began).Round(time.Second), err))
		}
	}
}
