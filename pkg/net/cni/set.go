// Package cni holds our CNI plugins. They run in two ways: in the daemon's own
// process, behind the interface by which libcni executes plugins (Exec), and
// each as an executable of its own (Main), for other runtimes. Plugins of any
// other type are executed as the CNI specification says.
package cni

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// The plugins' types, as they stand in a conflist.
const (
	TypeBridge   = "berth-bridge"
	TypeFirewall = "berth-firewall"
	TypePorts    = "berth-ports"
	TypeIPAM     = "berth-ipam"
	TypeHost     = "berth-host"
	TypeNone     = "berth-none"
)

// Version is the CNI specification that the daemon's own conflists follow.
const Version = "1.1.0"

// versions that our plugins accept: from the first with prevResult and CHECK.
var versions = version.VersionsStartingFrom("0.4.0")

// plugin is one type. Del succeeds when there is nothing, also without a
// previous result: after a crash there is none.
type plugin interface {
	add(context.Context, *skel.CmdArgs) (types.Result, error)
	del(context.Context, *skel.CmdArgs) error
	check(context.Context, *skel.CmdArgs) error
	gc(context.Context, *skel.CmdArgs) error
	status(context.Context, *skel.CmdArgs) error
}

// Tables finds the firewall's table by name. release is called after use.
type Tables func(name string) (t *firewall.Table, release func() error, err error)

// Set is our plugins.
type Set struct {
	plugins    map[string]plugin
	tables     Tables
	deleteLink func(name string) error

	mu    sync.Mutex // guards pools
	pools map[string]*ipam.Pool
}

// NewSet returns the plugins. They change the tables that tables finds, and
// delete interfaces by deleteLink, which returns when the interface is gone.
func NewSet(tables Tables, deleteLink func(name string) error) *Set {
	s := &Set{tables: tables, deleteLink: deleteLink, pools: map[string]*ipam.Pool{}}
	s.plugins = map[string]plugin{
		TypeBridge:   bridgePlugin{s},
		TypeFirewall: firewallPlugin{s},
		TypePorts:    portsPlugin{s},
		TypeIPAM:     ipamPlugin{s},
		TypeHost:     hostPlugin{},
		TypeNone:     nonePlugin{},
	}
	return s
}

// builtin marks the "path" of a plugin that is run in this process.
const builtin = "builtin:"

// Exec returns what libcni is given: our plugins are called, others executed.
func (s *Set) Exec() invoke.Exec {
	return &inProcess{set: s, other: &invoke.DefaultExec{RawExec: &invoke.RawExec{}}}
}

type inProcess struct {
	set   *Set
	other *invoke.DefaultExec
}

func (e *inProcess) FindInPath(plugin string, paths []string) (string, error) {
	if _, ok := e.set.plugins[plugin]; ok {
		return builtin + plugin, nil
	}
	return e.other.FindInPath(plugin, paths)
}

func (e *inProcess) Decode(b []byte) (version.PluginInfo, error) { return e.other.Decode(b) }

func (e *inProcess) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	name, ours := strings.CutPrefix(path, builtin)
	if !ours {
		return e.other.ExecPlugin(ctx, path, stdin, environ)
	}
	command, args := parseEnv(environ)
	args.StdinData = stdin
	out, err := e.set.run(ctx, name, command, args)
	if err != nil {
		return nil, &pluginError{err}
	}
	return out, nil
}

// run executes one command of one plugin and returns what an executable would
// have printed.
func (s *Set) run(ctx context.Context, name, command string, args *skel.CmdArgs) ([]byte, error) {
	p, ok := s.plugins[name]
	if !ok {
		return nil, fmt.Errorf("no CNI plugin is called %q", name)
	}
	switch command {
	case "ADD":
		r, err := p.add(ctx, args)
		if err != nil {
			return nil, err
		}
		conf, err := parseConf[types.PluginConf](args)
		if err != nil {
			return nil, err
		}
		if r, err = r.GetAsVersion(conf.CNIVersion); err != nil {
			return nil, err
		}
		return json.Marshal(r)
	case "DEL":
		return nil, p.del(ctx, args)
	case "CHECK":
		return nil, p.check(ctx, args)
	case "GC":
		return nil, p.gc(ctx, args)
	case "STATUS":
		return nil, p.status(ctx, args)
	case "VERSION":
		return json.Marshal(struct {
			CNIVersion string   `json:"cniVersion"`
			Supported  []string `json:"supportedVersions"`
		}{Version, versions.SupportedVersions()})
	}
	return nil, fmt.Errorf("unknown CNI_COMMAND: %s", command)
}

// Main runs the plugin called name as the CNI specification has it: command in
// the environment, configuration on stdin. It returns the error to be printed.
func (s *Set) Main(ctx context.Context, name string) *types.Error {
	p, ok := s.plugins[name]
	if !ok {
		return types.NewError(types.ErrInvalidEnvironmentVariables, fmt.Sprintf("no CNI plugin is called %q", name),
			"call berth-cni by a link with one of its plugins' names")
	}
	return skel.PluginMainFuncsWithError(skel.CNIFuncs{
		Add: func(a *skel.CmdArgs) error {
			r, err := p.add(ctx, a)
			if err != nil {
				return err
			}
			conf, err := parseConf[types.PluginConf](a)
			if err != nil {
				return err
			}
			return types.PrintResult(r, conf.CNIVersion)
		},
		Del:    func(a *skel.CmdArgs) error { return p.del(ctx, a) },
		Check:  func(a *skel.CmdArgs) error { return p.check(ctx, a) },
		GC:     func(a *skel.CmdArgs) error { return p.gc(ctx, a) },
		Status: func(a *skel.CmdArgs) error { return p.status(ctx, a) },
	}, versions, "Berth CNI plugin "+name)
}

// Types returns the names of our plugins.
func Types() []string {
	return []string{TypeBridge, TypeFirewall, TypePorts, TypeIPAM, TypeHost, TypeNone}
}

// pluginError carries an error of ours through libcni's wrapping.
type pluginError struct{ error }

func (e *pluginError) Unwrap() error { return e.error }

// Cause takes libcni's words about which plugin failed off an error that one
// of our plugins made; they tell a user nothing.
func Cause(err error) error {
	var p *pluginError
	if errors.As(err, &p) {
		return p.error
	}
	return err
}

func parseEnv(environ []string) (command string, args *skel.CmdArgs) {
	args = &skel.CmdArgs{}
	fields := map[string]*string{
		"CNI_COMMAND": &command, "CNI_CONTAINERID": &args.ContainerID, "CNI_NETNS": &args.Netns,
		"CNI_IFNAME": &args.IfName, "CNI_ARGS": &args.Args, "CNI_PATH": &args.Path,
	}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, "CNI_") {
			if p := fields[name]; p != nil {
				*p = value
			}
		}
	}
	return command, args
}

func parseConf[T any](a *skel.CmdArgs) (*T, error) {
	c := new(T)
	if err := json.Unmarshal(a.StdinData, c); err != nil {
		return nil, types.NewError(types.ErrDecodingFailure, "parsing the network configuration", err.Error())
	}
	return c, nil
}
