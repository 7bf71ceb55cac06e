package api

import (
	"context"
	"net"
	"net/http"

	"github.com/containerd/errdefs"
)

// ReadOnly makes a listener for Serve whose clients may look and change nothing:
// what watches a host needs no more, and has no way from there to root.
func ReadOnly(l net.Listener) net.Listener { return readOnlyListener{l} }

type readOnlyListener struct{ net.Listener }

func (l readOnlyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return readOnlyConn{c}, nil
}

type readOnlyConn struct{ net.Conn }

// readOnlyKey marks the contexts of requests that came through such a listener.
type readOnlyKey struct{}

// markReadOnly is the server's ConnContext.
func markReadOnly(ctx context.Context, c net.Conn) context.Context {
	if _, ok := c.(readOnlyConn); ok {
		return context.WithValue(ctx, readOnlyKey{}, true)
	}
	return ctx
}

// revealing are the operations that change nothing and yet are more than a look:
// they take part in a container's streams, or hand out files, in which secrets lie.
var revealing = map[string]bool{
	"ContainerAttachWebsocket": true,
	"ContainerArchive":         true,
	"ContainerArchiveInfo":     true,
	"ContainerExport":          true,
	"BerthVolumeExport":        true,
	"ImageGet":                 true,
	"ImageGetAll":              true,
	"GetPluginPrivileges":      true, // asks a registry
	"ImageSearch":              true, // likewise
	"DistributionInspect":      true, // likewise
}

func readOnly(r *http.Request) bool { return r.Context().Value(readOnlyKey{}) != nil }

// allowed says whether a request may have the operation.
func allowed(r *http.Request, op Operation) error {
	looks := (op.Method == http.MethodGet || op.Method == http.MethodHead) && !revealing[op.ID]
	if !readOnly(r) || looks {
		return nil
	}
	return errdefs.ErrPermissionDenied.WithMessage(op.ID + " is not allowed on a read-only socket")
}
