package net

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/berth-engine/berth/pkg/net/ports"
	"github.com/moby/moby/api/types/network"
)

// sandbox is the record of a container's network, EXEC/net/sandboxes/ID.json.
// It is written before anything of it is made and again when all is; it is
// removed last.
type sandbox struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"` // for people: of the container, as the engine gave it
	Key       string          `json:"key"`  // "" is the host's namespace
	Endpoints []endpoint      `json:"endpoints"`
	Bindings  []ports.Binding `json:"bindings,omitempty"`
	Held      bool            `json:"held,omitempty"` // the container's shim has the ports' sockets
	Ready     bool            `json:"ready"`          // Setup came to its end
}

// endpoint is one attachment. The sandbox's first has the default route and
// the published ports.
type endpoint struct {
	Ref      string                    `json:"ref"`     // as the engine names the network
	Network  string                    `json:"network"` // its name
	IfName   string                    `json:"ifName"`
	Settings *network.EndpointSettings `json:"settings"`
	Outward  bool                      `json:"outward,omitempty"` // the network leads elsewhere
	// Pending says that it is being added to a sandbox that was complete, or
	// taken away from it; a crash in between ends in its being taken away.
	Pending bool `json:"pending,omitempty"`

	Prefix  string          `json:"-"` // of its interface's name
	Options define.Endpoint `json:"-"`
}

// copy is for a record that replaces s.
func (s *sandbox) copy() *sandbox {
	c := *s
	c.Endpoints = slices.Clone(s.Endpoints)
	return &c
}

// first is the endpoint with the default route; nil when there is none.
func (s *sandbox) first() *endpoint {
	if len(s.Endpoints) == 0 {
		return nil
	}
	return &s.Endpoints[0]
}

// on finds the endpoint on a network; -1 when there is none.
func (s *sandbox) on(network string) int {
	return slices.IndexFunc(s.Endpoints, func(e endpoint) bool { return e.Network == network })
}

// route gives the namespace the default route of the first endpoint that has
// one, for IPv4 and for IPv6.
func (s *sandbox) route() error {
	if s.Key == "" || len(s.Endpoints) == 0 {
		return nil
	}
	var routes []bridge.DefaultRoute
	var done4, done6 bool
	for _, e := range s.Endpoints {
		if gw := e.Settings.Gateway; gw.IsValid() && !done4 {
			routes, done4 = append(routes, bridge.DefaultRoute{IfName: e.IfName, Gateway: gw}), true
		}
		if gw := e.Settings.IPv6Gateway; gw.IsValid() && !done6 {
			routes, done6 = append(routes, bridge.DefaultRoute{IfName: e.IfName, Gateway: gw}), true
		}
	}
	return bridge.SetDefaultRoutes(s.Key, routes)
}

// settings returns copies, by the engine's names.
func (s *sandbox) settings() map[string]*network.EndpointSettings {
	out := make(map[string]*network.EndpointSettings, len(s.Endpoints))
	for _, e := range s.Endpoints {
		if !e.Pending {
			out[e.Ref] = e.Settings.Copy()
		}
	}
	return out
}

func (s *sandbox) bound() network.PortMap {
	out := network.PortMap{}
	for _, b := range s.Bindings {
		pb := network.PortBinding{HostIP: b.Host.Addr()}
		if b.Host.Port() != 0 {
			pb.HostPort = strconv.Itoa(int(b.Host.Port()))
		}
		out[b.Container] = append(out[b.Container], pb)
	}
	return out
}

// published is what berth-ports made of the bindings, for a table built anew.
func (s *sandbox) published() (owner string, out []firewall.Mapping) {
	if len(s.Endpoints) == 0 || !s.Ready {
		return "", nil
	}
	first := s.Endpoints[0]
	for _, b := range s.Bindings {
		proto, err := ports.Protocol(b.Container.Proto())
		if err != nil || b.Forwarded {
			continue
		}
		m := firewall.Mapping{Proto: proto, To: netip.AddrPortFrom(first.address(b.Host.Addr().Is6()), b.Container.Num())}
		if b.Host.Port() != 0 {
			m.Host = b.Host
		}
		out = append(out, m)
	}
	return s.owner(&first), out
}

// address is the endpoint's of a family; the zero value when it has none.
func (e *endpoint) address(six bool) netip.Addr {
	if six {
		return e.Settings.GlobalIPv6Address
	}
	return e.Settings.IPAddress
}

// owner names an endpoint to the firewall, as its plugin does.
func (s *sandbox) owner(e *endpoint) string {
	return ipam.Owner{ID: s.ID, IfName: e.IfName}.String()
}

// sandboxes is the records, on disk and in memory.
type sandboxes struct {
	dirs layout
	log  *slog.Logger

	mu   sync.RWMutex // guards byID, whose values are never changed, only replaced
	byID map[string]*sandbox
}

func (b *sandboxes) get(id string) (*sandbox, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s, ok := b.byID[id]
	return s, ok
}

func (b *sandboxes) all() map[string]*sandbox {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return maps.Clone(b.byID)
}

// put keeps s, on disk and then in memory.
func (b *sandboxes) put(s *sandbox) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := writeFile(b.dirs.sandbox(s.ID), text); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.byID[s.ID] = s
	return nil
}

func (b *sandboxes) remove(id string) error {
	err := os.Remove(b.dirs.sandbox(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.byID, id)
	return nil
}

// load reads what an earlier process recorded.
func (b *sandboxes) load() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	dir := b.dirs.sandboxes()
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		id, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok { // a temporary file that a crash left
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				return err
			}
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return err
		}
		s := &sandbox{}
		if err := json.Unmarshal(text, s); err != nil || s.ID != id {
			b.log.Error("the record of a sandbox cannot be read; what it describes will be removed",
				"container", id, "error", err)
			s = &sandbox{ID: id, Key: b.dirs.pin(id)}
		}
		b.byID[id] = s
	}
	return nil
}
