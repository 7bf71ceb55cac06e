package net

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/berth-engine/berth/pkg/net/ipam"
	"github.com/berth-engine/berth/pkg/net/ports"
	"github.com/moby/moby/api/types/network"
)

const sandboxDir = "sandboxes"

// sandbox is the record of a container's network, EXEC/net/sandboxes/ID.json.
// It is written before anything of it is made and again when all is; it is
// removed last.
type sandbox struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"` // for people: of the container, as the engine gave it
	Key       string          `json:"key"`  // "" is the host's namespace
	Endpoints []endpoint      `json:"endpoints"`
	Bindings  []ports.Binding `json:"bindings,omitempty"`
	Ready     bool            `json:"ready"` // Setup came to its end
}

// endpoint is one attachment. The sandbox's first has the default route and
// the published ports.
type endpoint struct {
	Ref      string                    `json:"ref"`     // as the engine names the network
	Network  string                    `json:"network"` // its name
	IfName   string                    `json:"ifName"`
	Settings *network.EndpointSettings `json:"settings"`
}

// settings returns copies, by the engine's names.
func (s *sandbox) settings() map[string]*network.EndpointSettings {
	out := make(map[string]*network.EndpointSettings, len(s.Endpoints))
	for _, e := range s.Endpoints {
		out[e.Ref] = e.Settings.Copy()
	}
	return out
}

func (s *sandbox) bound() network.PortMap {
	out := network.PortMap{}
	for _, b := range s.Bindings {
		out[b.Container] = append(out[b.Container], network.PortBinding{
			HostIP: b.Host.Addr(), HostPort: strconv.Itoa(int(b.Host.Port()))})
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
		to := first.Settings.IPAddress
		if b.Host.Addr().Is6() {
			to = first.Settings.GlobalIPv6Address
		}
		if err == nil {
			out = append(out, firewall.Mapping{Proto: proto, Host: b.Host,
				To: netip.AddrPortFrom(to, b.Container.Num())})
		}
	}
	return ipam.Owner{ID: s.ID, IfName: first.IfName}.String(), out
}

func (m *Manager) sandboxFile(id string) string {
	return filepath.Join(m.stateDir(sandboxDir), id+".json")
}

func (m *Manager) sandbox(id string) (*sandbox, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s, ok := m.sandboxes[id]
	return s, ok
}

func (m *Manager) allSandboxes() map[string]*sandbox {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return maps.Clone(m.sandboxes)
}

// record keeps s, on disk and then in memory.
func (m *Manager) record(s *sandbox) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := writeFile(m.sandboxFile(s.ID), b); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sandboxes[s.ID] = s
	return nil
}

func (m *Manager) forget(id string) error {
	err := os.Remove(m.sandboxFile(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sandboxes, id)
	return nil
}

// loadSandboxes reads what an earlier process recorded, and takes its ports.
func (m *Manager) loadSandboxes() error {
	dir := m.stateDir(sandboxDir)
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
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return err
		}
		s := &sandbox{}
		if err := json.Unmarshal(b, s); err != nil || s.ID != id {
			m.log.Error("the record of a sandbox cannot be read; what it describes will be removed",
				"container", id, "error", err)
			s = &sandbox{ID: id, Key: m.netnsPath(id)}
		}
		m.sandboxes[id] = s
		if s.Ready && len(s.Bindings) > 0 {
			m.ports.Restore(id, s.Name, s.Bindings)
		}
	}
	return nil
}
