// Package runtime runs containers: it is the only caller of containerd's tasks
// and snapshots, and it knows nothing of Docker.
//
// containerd is embedded in the process or reached by its socket; both are the
// same client to the rest. Closing a Runtime, or killing its process, leaves
// containers and shims alone: the next Open on the same folders finds them.
//
// What it writes into containerd carries its own labels only. Labels of users
// and images steer containerd's plugins and must never get there.
//
// Errors have the classes of containerd/errdefs and the text of containerd and
// of the OCI runtime, untouched: the engine reads exit codes 126 and 127 off it.
package runtime

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
)

// Config says which containerd to use and how.
type Config struct {
	Address     string            // socket of an existing containerd; "" embeds one
	Namespace   string            // containerd namespace, "berth"
	Root        string            // of the embedded one: DATA/containerd
	State       string            // of the embedded one: EXEC/containerd
	Shim        string            // absolute path of containerd-shim-berth-v2
	Runtimes    map[string]Binary // by the names that TaskConfig.Runtime uses
	Default     string            // name in Runtimes
	Snapshotter string            // "overlayfs"
	Proxies     map[string]string // further snapshotters of the embedded one: name → socket that serves it
	Patience    time.Duration     // for an existing one that is not there yet; 0 is DefaultPatience
	Debug       bool              // containerd logs what it does, not only what goes wrong
}

// Binary is an OCI runtime.
type Binary struct {
	Path string // absolute
}

// Runtime is an open containerd. Its methods may be called from any goroutine.
type Runtime struct {
	conn
	*containerTasks
	*execs
	*rootfilesystems
	*eventStreams
	close func() error
}

// conn is the containerd of a Runtime.
type conn struct {
	config Config
	client *client.Client
}

// Open starts the embedded containerd, or dials the existing one: Unavailable
// when that does not answer in time. A process can embed one containerd at a time,
// since its plugin registry belongs to the process.
func Open(ctx context.Context, c Config) (*Runtime, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	known, err := newBinaries(c, c.Runtimes, c.Default)
	if err != nil {
		return nil, err
	}
	exits, err := keepExits(c)
	if err != nil {
		return nil, err
	}
	open := embed
	if c.Address != "" {
		open = dial
	}
	cl, closer, err := open(namespaces.WithNamespace(ctx, c.Namespace), c)
	if err != nil {
		return nil, err
	}
	conn := conn{config: c, client: cl}
	r := &Runtime{
		conn:            conn,
		containerTasks:  &containerTasks{conn: conn, exits: exits},
		execs:           &execs{conn},
		rootfilesystems: &rootfilesystems{conn},
		eventStreams:    newEventStreams(ctx, conn),
	}
	r.close = sync.OnceValue(func() error {
		r.end()
		return closer()
	})
	r.known.Store(known)
	r.lost = r.endLost
	if c.Address == "" {
		if err := r.tidy(ctx); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

// Close ends event streams and containerd's services. Containers go on.
func (r *Runtime) Close() error { return r.close() }

// Client is for what tasks are not: content, images, leases. The embedded
// client calls the services directly, and there contexts must carry Namespace
// (namespaces.WithNamespace).
func (r *Runtime) Client() *client.Client { return r.client }

// Namespace is the containerd namespace of all objects.
func (r *Runtime) Namespace() string { return r.config.Namespace }

// Snapshotter is the name of the snapshotter of all root filesystems.
func (r *Runtime) Snapshotter() string { return r.config.Snapshotter }

// in puts the namespace into a call's context.
func (c conn) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, c.config.Namespace)
}

func (c Config) check() error {
	refuse := func(format string, a ...any) error {
		return errdefs.ErrInvalidArgument.WithMessage("runtime: " + fmt.Sprintf(format, a...))
	}
	switch {
	case c.Namespace == "":
		return refuse("no namespace")
	case c.Snapshotter == "":
		return refuse("no snapshotter")
	case !filepath.IsAbs(c.Shim):
		return refuse("the shim's path %q is not absolute", c.Shim)
	case c.Address == "" && (!filepath.IsAbs(c.Root) || !filepath.IsAbs(c.State)):
		return refuse("the folders of containerd, %q and %q, are not absolute", c.Root, c.State)
	}
	return checkBinaries(c.Runtimes, c.Default)
}

// ociRoot is where OCI runtimes keep their state, a folder per namespace.
func ociRoot(c Config) string { return filepath.Join(c.State, "oci") }

// ignore drops the error when it is of a class that the caller expects.
func ignore(err error, is ...func(error) bool) error {
	for _, f := range is {
		if f(err) {
			return nil
		}
	}
	return err
}
