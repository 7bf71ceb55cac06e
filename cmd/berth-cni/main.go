// Command berth-cni is Berth's CNI plugins for other runtimes. The name that it
// is called by chooses the plugin: link berth-bridge, berth-firewall,
// berth-ports, berth-ipam, berth-host and berth-none to it in the CNI path.
// Called by another name it runs the plugin that "type" in its configuration
// names. berthd itself executes it as berth-ipam, for plugins of others.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/containernetworking/cni/pkg/types"
)

// maxConf bounds the configuration that is read from stdin.
const maxConf = 8 << 20

func main() {
	if err := run(); err != nil {
		_ = err.Print() // stdout is gone: the status below says it
		os.Exit(1)
	}
}

func run() *types.Error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	set := cni.NewSet(func(name string) (*firewall.Table, func() error, error) {
		t, err := firewall.OpenShared(firewall.Config{Name: name, Log: log})
		if err != nil {
			return nil, nil, err
		}
		return t, t.Close, nil
	}, bridge.DeleteLink)
	name := filepath.Base(os.Args[0])
	if !slices.Contains(cni.Types(), name) {
		var err error
		if name, err = typeOnStdin(); err != nil {
			return types.NewError(types.ErrDecodingFailure, "reading the network configuration", err.Error())
		}
	}
	return set.Main(context.Background(), name)
}

// typeOnStdin reads the configuration's type and gives stdin back as it was.
func typeOnStdin() (string, error) {
	conf, err := io.ReadAll(io.LimitReader(os.Stdin, maxConf))
	if err != nil {
		return "", err
	}
	var c types.PluginConf
	if err := json.Unmarshal(bytes.TrimSpace(conf), &c); err != nil {
		return "", err
	}
	if c.Type == "" { // VERSION sends no type; all of ours answer alike
		c.Type = cni.TypeBridge
	}
	return c.Type, replaceStdin(conf)
}

// replaceStdin puts conf into an anonymous file: a pipe would block on a
// configuration that is larger than its buffer.
func replaceStdin(conf []byte) error {
	f, err := os.CreateTemp("", "berth-cni-")
	if err != nil {
		return err
	}
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	if _, err := f.Write(conf); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	os.Stdin = f
	return nil
}
