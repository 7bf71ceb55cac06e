package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/cmd/containerd/server"
	srvconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/version"
)

// maxSocketDir is containerd's bound for the folder of shim sockets
// (core/runtime/v2 maxSocketDirLen: a socket's path has 108 bytes).
const maxSocketDir = 42

// embed starts containerd in this process.
func embed(ctx context.Context, c Config) (*client.Client, func() error, error) {
	logToSlog(c.Debug)
	config := serverConfig(c)
	if err := server.CreateTopLevelDirectories(config); err != nil {
		return nil, nil, fmt.Errorf("containerd: %w", err)
	}
	if err := finishDeletions(c); err != nil {
		return nil, nil, fmt.Errorf("containerd: %w", err)
	}
	req := &clientRequest{namespace: c.Namespace, address: filepath.Join(c.State, socketName)}
	// Plugins keep the context: it must outlive the caller's.
	ctx = withClientRequest(context.WithoutCancel(ctx), req)
	gunzip()
	s, err := server.New(ctx, config)
	if err != nil {
		return nil, nil, fmt.Errorf("containerd: %w", err)
	}
	if err := s.Start(ctx); err != nil {
		s.Stop()
		return nil, nil, fmt.Errorf("containerd: %w", err)
	}
	return req.client, func() error {
		err := req.client.Close()
		s.Stop()
		return err
	}, nil
}

const socketName = "containerd.sock"

func serverConfig(c Config) *srvconfig.Config {
	socket := filepath.Join(c.State, socketName)
	listen := func(address string) map[string]any {
		return map[string]any{"address": address, "uid": os.Geteuid(), "gid": os.Getegid()}
	}
	config := &srvconfig.Config{
		Version:         version.ConfigVersion,
		Root:            c.Root,
		State:           c.State,
		DisabledPlugins: disabled,
		RequiredPlugins: []string{
			clientPluginURI,
			string(plugins.SnapshotPlugin) + "." + c.Snapshotter,
			taskPlugin,
			string(plugins.ServerPlugin) + ".grpc",
			string(plugins.ServerPlugin) + ".ttrpc",
		},
		Plugins: map[string]any{
			string(plugins.ServerPlugin) + ".grpc":  listen(socket),
			string(plugins.ServerPlugin) + ".ttrpc": listen(socket + ".ttrpc"),
		},
	}
	for name, socket := range c.Proxies {
		if config.ProxyPlugins == nil {
			config.ProxyPlugins = map[string]srvconfig.ProxyPlugin{}
		}
		config.ProxyPlugins[name] = srvconfig.ProxyPlugin{Type: "snapshot", Address: socket}
	}
	if dir := filepath.Join(c.State, "s"); len(dir) <= maxSocketDir {
		config.Plugins[string(plugins.ShimPlugin)+".manager"] = map[string]any{"socket_dir": dir}
	}
	return config
}
