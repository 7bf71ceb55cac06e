package runtime

import (
	"context"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	// The plugins of the embedded containerd, one by one: CRI, NRI, the restart
	// monitor, opt, debug and metrics servers and tracing stay out.
	_ "github.com/containerd/containerd/v2/core/runtime/v2"
	_ "github.com/containerd/containerd/v2/plugins/content/local/plugin"
	_ "github.com/containerd/containerd/v2/plugins/diff/walking/plugin"
	_ "github.com/containerd/containerd/v2/plugins/events"
	_ "github.com/containerd/containerd/v2/plugins/gc"
	_ "github.com/containerd/containerd/v2/plugins/leases"
	_ "github.com/containerd/containerd/v2/plugins/metadata"
	_ "github.com/containerd/containerd/v2/plugins/mount"
	_ "github.com/containerd/containerd/v2/plugins/sandbox"
	_ "github.com/containerd/containerd/v2/plugins/server/grpc"
	_ "github.com/containerd/containerd/v2/plugins/server/ttrpc"
	_ "github.com/containerd/containerd/v2/plugins/services/containers"
	_ "github.com/containerd/containerd/v2/plugins/services/content"
	_ "github.com/containerd/containerd/v2/plugins/services/diff"
	_ "github.com/containerd/containerd/v2/plugins/services/events"
	_ "github.com/containerd/containerd/v2/plugins/services/healthcheck"
	_ "github.com/containerd/containerd/v2/plugins/services/images"
	_ "github.com/containerd/containerd/v2/plugins/services/introspection"
	_ "github.com/containerd/containerd/v2/plugins/services/leases"
	_ "github.com/containerd/containerd/v2/plugins/services/mounts"
	_ "github.com/containerd/containerd/v2/plugins/services/namespaces"
	_ "github.com/containerd/containerd/v2/plugins/services/sandbox"
	_ "github.com/containerd/containerd/v2/plugins/services/snapshots"
	_ "github.com/containerd/containerd/v2/plugins/services/streaming"
	_ "github.com/containerd/containerd/v2/plugins/services/tasks"
	_ "github.com/containerd/containerd/v2/plugins/services/transfer"
	_ "github.com/containerd/containerd/v2/plugins/services/version"
	_ "github.com/containerd/containerd/v2/plugins/services/warning"
	_ "github.com/containerd/containerd/v2/plugins/snapshots/native/plugin"
	_ "github.com/containerd/containerd/v2/plugins/streaming"
	_ "github.com/containerd/containerd/v2/plugins/transfer"
)

// disabled are plugins that come with the packages above and that nothing of
// ours asks: each would register counters for the whole process.
var disabled = []string{
	string(plugins.MetricsPlugin) + ".grpc-prometheus",
	string(plugins.MetricsPlugin) + ".grpc-otel",
	string(plugins.ServerPlugin) + ".grpc-tcp",
}

// Snapshotters are the names of those that the embedded containerd has itself.
func Snapshotters() (names []string) {
	registerPlugins()
	for _, r := range registry.Graph(func(*plugin.Registration) bool { return false }) {
		if r.Type == plugins.SnapshotPlugin {
			names = append(names, r.ID)
		}
	}
	return slices.Sorted(slices.Values(names))
}

const (
	clientPluginType plugin.Type = "berth.internal.v1"
	clientPluginID               = "client"
	clientPluginURI              = string(clientPluginType) + "." + clientPluginID
)

// clientKey is the context key under which embed passes a *clientRequest to
// the client plugin: the registry is global, one containerd's request is not.
type clientKey struct{}

type clientRequest struct {
	namespace, address string
	client             *client.Client
}

// registerPlugins adds ours to containerd's registry, which is the process's.
var registerPlugins = sync.OnceFunc(func() {
	registry.Register(overlayPlugin())
	registry.Register(clientPlugin())
})

// clientPlugin builds a client of the services in the same process: no call of ours
// passes a socket.
func clientPlugin() *plugin.Registration {
	return &plugin.Registration{
		Type: clientPluginType,
		ID:   clientPluginID,
		Requires: []plugin.Type{
			plugins.EventPlugin, plugins.LeasePlugin, plugins.SandboxStorePlugin,
			plugins.TransferPlugin, plugins.MountManagerPlugin, plugins.ServicePlugin,
		},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			req, ok := ic.Context.Value(clientKey{}).(*clientRequest)
			if !ok {
				return nil, plugin.ErrSkipPlugin
			}
			// The address is dialled only by what has no service in memory.
			c, err := client.New(req.address, client.WithInMemoryServices(ic), client.WithDefaultNamespace(req.namespace))
			if err != nil {
				return nil, err
			}
			req.client = c
			return struct{}{}, nil
		},
	}
}

func withClientRequest(ctx context.Context, req *clientRequest) context.Context {
	registerPlugins()
	return context.WithValue(ctx, clientKey{}, req)
}
