// Package build runs BuildKit inside the daemon, on the content store and the
// snapshotter of its images. A result is in the image store when the build ends,
// unpacked, and needs no second unpack to run.
//
// BuildKit starts with the first request that needs it and costs nothing before:
// no goroutine, no open database. What it keeps (its cache's metadata, the
// history) is below Root and valid at every instant; steps that a killed daemon
// left running are ended by Open, and what its builds were writing is collected.
//
// Who builds is not trusted: frontends come from a list, and what a step may do
// beyond a container's defaults (the host's network, all privileges) must be
// granted by the daemon's configuration and asked for by the client.
package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/berth-engine/berth/pkg/build/classic"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Images takes what was built. images.Sink satisfies it.
type Images interface {
	// Built gives an image that is unpacked its names, or none, and returns when
	// it can be seen. A name's former image stays, without it.
	Built(ctx context.Context, names []string, target ocispec.Descriptor) error
}

// Networks makes the sandboxes of steps. *net.Manager satisfies it.
type Networks interface {
	Setup(ctx context.Context, id, name string, endpoints map[string]*network.EndpointSettings, ports network.PortMap) (key string, made map[string]*network.EndpointSettings, bound network.PortMap, err error)
	Teardown(ctx context.Context, id string) error
}

// Config is what a Builder is made of.
type Config struct {
	Root         string         // DATA/build
	Client       *client.Client // of the images' containerd
	Namespace    string
	Snapshotter  string
	Runc         string // absolute
	CgroupParent string // of steps

	Images   Images
	Networks Networks
	// Registries says how registries are reached; credentials are the client's.
	Registries docker.RegistryHosts

	// HostGateway is the host's address as seen by steps; "" if there is none.
	HostGateway string
	DNS         DNS // of steps that have a network of their own
	// Events receives Docker's events of the builder. Nil drops them.
	Events func(events.Message)

	GC           GC
	Entitlements []string // that clients may ask for
	// Frontends are the repositories of images that may turn a Dockerfile into
	// steps ("# syntax="); "*" is any. The built-in frontend is always there.
	Frontends []string
	// MaxContext bounds the bytes that a client may send in a session.
	MaxContext int64
	Logger     *slog.Logger
}

// DNS says how names are resolved; the host's way where it says nothing.
type DNS struct {
	Servers         []netip.Addr
	Search, Options []string
}

// Builder is BuildKit, started when it is first needed.
type Builder struct {
	cfg    Config
	behind sync.WaitGroup
	turn   chan struct{} // held by who starts or closes BuildKit; guards all below
	kit    *kit
	closed bool
}

// Open ends what a killed daemon left running. It starts nothing, but BuildKit if
// that daemon was killed in a build: what that wrote is on the disk until then.
func Open(ctx context.Context, cfg Config) (*Builder, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Root, 0o700); err != nil {
		return nil, fmt.Errorf("builder: %w", err)
	}
	b := &Builder{cfg: cfg, turn: make(chan struct{}, 1)}
	left, err := sweep(ctx, cfg)
	if err != nil {
		// Neither containers nor other builds depend on it.
		cfg.Logger.Warn("a build step of an earlier daemon could not be ended", "error", err)
	}
	if b.used() && (left || b.cutShort(ctx)) {
		b.behind.Go(func() { b.cleanUp(context.WithoutCancel(ctx)) })
	}
	return b, nil
}

// temporary selects the leases that BuildKit has while it works.
const temporary = `labels."buildkit/lease.temporary"`

func (b *Builder) leases() *leaseutil.Manager {
	return leaseutil.WithNamespace(b.cfg.Client.LeasesService(), b.cfg.Namespace)
}

// cutShort says whether a daemon died that had BuildKit at work a short while before.
func (b *Builder) cutShort(ctx context.Context) bool {
	left, err := b.leases().List(ctx, temporary)
	return err == nil && len(left) > 0
}

// cleanUp has BuildKit drop what builds of a killed daemon were writing, which it does
// as it starts.
func (b *Builder) cleanUp(ctx context.Context) {
	_, err := b.start(ctx)
	if err == nil {
		_, err = collect(b.leases())(ctx)
	}
	if err != nil {
		b.cfg.Logger.Warn("what a build of an earlier daemon wrote is left to the next build", "error", err)
	}
}

// start returns the running BuildKit. A start that failed is tried again by the
// next caller.
func (b *Builder) start(ctx context.Context) (*kit, error) {
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-b.turn }()
	switch {
	case b.closed:
		return nil, errdefs.ErrUnavailable.WithMessage("the daemon is shutting down")
	case b.kit != nil:
		return b.kit, nil
	}
	// It outlives the request that it is started for.
	k, err := newKit(context.WithoutCancel(ctx), b.cfg)
	if err != nil {
		return nil, fmt.Errorf("starting BuildKit: %w", err)
	}
	b.kit = k
	return k, nil
}

// Close ends builds that are under way.
func (b *Builder) Close() error {
	defer b.behind.Wait()
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	b.closed = true
	if b.kit == nil {
		return nil
	}
	err := b.kit.close()
	b.kit = nil
	return errors.Join(err, b.endLeases())
}

// endLeases ends those that BuildKit leaves to expire, by which Open knows of a daemon
// that was killed.
func (b *Builder) endLeases() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	left, err := b.leases().List(ctx, temporary)
	for _, l := range left {
		if e := b.leases().Delete(ctx, l); !errdefs.IsNotFound(e) { // it may have expired
			err = errors.Join(err, e)
		}
	}
	return err
}

// used says whether anything was ever built on this root.
func (b *Builder) used() bool {
	_, err := os.Stat(metadataFile(b.cfg))
	return err == nil
}

// Serve speaks BuildKit's control API with a client until one of both leaves.
func (b *Builder) Serve(ctx context.Context, conn net.Conn) error {
	k, err := b.start(ctx)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	return k.server.serve(ctx, conn)
}

// Session keeps a client's session: files, secrets and credentials that builds
// ask it for. header is that of the request.
func (b *Builder) Session(ctx context.Context, conn net.Conn, header map[string][]string) error {
	k, err := b.start(ctx)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	return k.sessions.HandleConn(ctx, &bounded{conn, classic.Bound(conn, b.cfg.MaxContext)}, header)
}

// bounded is the connection of a session. Most of what comes by it is contexts, of which
// BuildKit stores any size.
type bounded struct {
	net.Conn
	r io.Reader
}

func (b *bounded) Read(p []byte) (int, error) { return b.r.Read(p) }

// Client is a client of the running BuildKit in this process.
func (b *Builder) Client(ctx context.Context) (*bkclient.Client, error) {
	k, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	return k.client, nil
}
