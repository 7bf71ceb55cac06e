package attach

import (
	"github.com/berth-engine/berth/pkg/runtime"
	"github.com/berth-engine/berth/pkg/streams"
)

// IO is a stream configuration in the form that containerd passes on to the shim.
func IO(c streams.Config) runtime.IO {
	uri := streams.URI(c)
	io := runtime.IO{Stdout: uri, Terminal: c.Tty}
	if !c.Tty {
		io.Stderr = uri
	}
	if c.Stdin {
		io.Stdin = uri
	}
	return io
}
