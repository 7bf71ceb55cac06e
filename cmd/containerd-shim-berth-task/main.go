// Command containerd-shim-berth-task is the process that stays with a container: it
// is upstream's runc shim with Berth's streams and logs (package shim).
// containerd-shim-berth-v2 starts it; it is not meant to be run by hand.
package main

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task"
	upstream "github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/go-runc"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/pkg/shim"
)

func main() {
	// Before upstream, which takes 4: a thread's stacks and caches are most of
	// what an idle shim costs.
	runtime.GOMAXPROCS(2)
	// For runc, which does one thing after the other: threads that wait for work cost
	// each of its short lives a twentieth.
	_ = os.Setenv("GOMAXPROCS", "1")
	// berthd's, which it empties when it starts: this process does not end with it.
	_ = os.Unsetenv("TMPDIR")
	retire := retirement()
	var service *shim.Service
	registry.Register(&plugin.Registration{ // the first, so that it is initialized first
		Type:   plugins.InternalPlugin,
		ID:     "garbage",
		InitFn: func(*plugin.InitContext) (any, error) { return nil, collectLater() },
	})
	registry.Register(&plugin.Registration{
		Type:     plugins.TTRPCPlugin,
		ID:       "task",
		Requires: []plugin.Type{plugins.EventPlugin, plugins.InternalPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			pp, err := ic.GetByID(plugins.EventPlugin, "publisher")
			if err != nil {
				return nil, err
			}
			sd, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
			if err != nil {
				return nil, err
			}
			// Upstream's OOM watcher for cgroup v1 ends when its context is cancelled.
			// At any other end, and the shim's is shutdown.ErrShutdown, it spins and
			// closes its descriptor's number over and over, which may be a client's
			// by then (containerd pkg/oom/v1).
			ctx, cancel := context.WithCancel(context.WithoutCancel(ic.Context))
			context.AfterFunc(ic.Context, cancel)
			up, err := task.NewTaskService(ctx, pp.(upstream.Publisher), sd.(shutdown.Service))
			if err != nil {
				return nil, err
			}
			if self, err := os.Executable(); err == nil {
				runc.Monitor = shim.NewMonitor(runc.Monitor, filepath.Join(filepath.Dir(self), "runc"))
			}
			service = shim.New(up, retire, sd.(shutdown.Service).Shutdown)
			return service, nil
		},
	})
	upstream.RunShim(context.Background(), shim.Manager{Shim: manager.NewShimManager("io.containerd.berth.v2")})
	if service != nil {
		service.Close(context.Background())
	}
}

// collectLater puts off the collection of garbage until the container has started, and
// gives the memory back then. Upstream has set that 1.6 MB are collected, which takes a
// fifth of the processor time that the shim needs for a start.
func collectLater() error {
	usual := debug.SetGCPercent(200)
	time.AfterFunc(2*time.Second, func() {
		debug.SetGCPercent(usual)
		debug.FreeOSMemory()
	})
	return nil
}

// listenerFD is where upstream's manager hands a shim its listening socket.
const listenerFD = 3

// retirement is what takes the shim's own socket out of the way before containerd
// learns that the shim ends: the next shim of this container gets the same path,
// and would otherwise connect to this one while it ends. After that upstream must
// not remove it again, so what it derives the path from is changed.
//
// It is made first of all: upstream leaves the descriptor to the garbage collector.
func retirement() (retire func()) {
	sa, err := unix.Getsockname(listenerFD)
	addr, ok := sa.(*unix.SockaddrUnix)
	if err != nil || !ok || !filepath.IsAbs(addr.Name) {
		return func() {} // one of the short-lived actions
	}
	return func() {
		_ = os.Remove(addr.Name)
		_ = flag.Set("address", "retired")
	}
}
