package cni

import (
	"context"
	"errors"

	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
)

// ipamPlugin is berth-bridge's address management for plugins of others, which
// execute it as the CNI specification says: it takes the same ipam section.
type ipamPlugin struct{ set *Set }

func (p ipamPlugin) add(_ context.Context, a *skel.CmdArgs) (types.Result, error) {
	c, pools, err := p.set.addressing(a)
	if err != nil {
		return nil, err
	}
	e := &endpoint{}
	if err := e.lease(c, pools, owner(a)); err != nil {
		return nil, errors.Join(err, release(pools, e.Addrs, owner(a)))
	}
	return e.addresses(c), nil
}

func (p ipamPlugin) del(_ context.Context, a *skel.CmdArgs) error {
	return p.keep(a, func(o ipam.Owner) bool { return o != owner(a) })
}

func (p ipamPlugin) check(_ context.Context, a *skel.CmdArgs) error {
	_, pools, err := p.set.addressing(a)
	if err != nil {
		return err
	}
	for _, pool := range pools {
		if held, err := pool.Holds(owner(a)); err != nil || held {
			return err
		}
	}
	return types.NewError(types.ErrUnknownContainer, "no address is leased to "+owner(a).String(), "")
}

func (p ipamPlugin) gc(_ context.Context, a *skel.CmdArgs) error {
	c, err := parseConf[types.PluginConf](a)
	if err != nil {
		return err
	}
	valid := map[ipam.Owner]bool{}
	for _, v := range c.ValidAttachments {
		valid[ipam.Owner{ID: v.ContainerID, IfName: v.IfName}] = true
	}
	return p.keep(a, func(o ipam.Owner) bool { return valid[o] })
}

// keep releases what those have who are not to keep it.
func (p ipamPlugin) keep(a *skel.CmdArgs, f func(ipam.Owner) bool) error {
	_, pools, err := p.set.addressing(a)
	if err != nil {
		return err
	}
	for _, pool := range pools {
		err = errors.Join(err, pool.ReleaseIf(func(o ipam.Owner) bool { return !f(o) }))
	}
	return err
}

func (p ipamPlugin) status(_ context.Context, a *skel.CmdArgs) error {
	_, _, err := p.set.addressing(a)
	return err
}
