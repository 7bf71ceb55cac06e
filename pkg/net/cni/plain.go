package cni

import (
	"context"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
)

// hostPlugin makes nothing: the container shares the host's namespace.
type hostPlugin struct{ nothing }

// nonePlugin leaves the container with its loopback alone.
type nonePlugin struct{ nothing }

func (nonePlugin) add(_ context.Context, a *skel.CmdArgs) (types.Result, error) {
	r := &current.Result{CNIVersion: current.ImplementedSpecVersion,
		Interfaces: []*current.Interface{{Name: "lo", Sandbox: a.Netns}}}
	return r, bridge.LoopbackUp(a.Netns)
}

// nothing is a plugin that does nothing well.
type nothing struct{}

func (nothing) add(context.Context, *skel.CmdArgs) (types.Result, error) {
	return &current.Result{CNIVersion: current.ImplementedSpecVersion}, nil
}
func (nothing) del(context.Context, *skel.CmdArgs) error    { return nil }
func (nothing) check(context.Context, *skel.CmdArgs) error  { return nil }
func (nothing) gc(context.Context, *skel.CmdArgs) error     { return nil }
func (nothing) status(context.Context, *skel.CmdArgs) error { return nil }
