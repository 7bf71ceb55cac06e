package net

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/berth-engine/berth/pkg/net/firewall"
	"github.com/containernetworking/cni/libcni"
	"github.com/moby/moby/api/types/network"
)

// Names of bridge options, as Docker has them.
const (
	optDefaultBridge = "com.docker.network.bridge.default_bridge"
	optICC           = "com.docker.network.bridge.enable_icc"
	optMasquerade    = "com.docker.network.bridge.enable_ip_masquerade"
	optHostBinding   = "com.docker.network.bridge.host_binding_ipv4"
	optBridgeName    = "com.docker.network.bridge.name"
	optMTU           = "com.docker.network.driver.mtu"
)

// Drivers, as Docker names them.
const (
	driverBridge = "bridge"
	driverHost   = "host"
	driverNull   = "null"
)

// entry is one network. It is not changed after it was made.
type entry struct {
	net        network.Network
	list       *libcni.NetworkConfigList
	predefined bool

	// Of bridge networks, else nil.
	bridge  *bridge.Bridge
	rules   *firewall.Network
	subnets []cni.Subnet
	leases  string // folder of the address leases
}

// serves says whether endpoints have addresses of the family of ip. Of an
// operator's network that is not known before.
func (n *entry) serves(ip netip.Addr) bool {
	return n.bridge == nil && ip.Is4() ||
		slices.ContainsFunc(n.subnets, func(s cni.Subnet) bool { return s.Subnet.Addr().Is4() == ip.Is4() })
}

// registry is the networks.
type registry struct {
	cfg  Config
	dirs layout

	mu     sync.RWMutex // guards byName
	byName map[string]*entry
}

func (r *registry) all() []*entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.byName))
}

func (r *registry) byExactName(name string) (*entry, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n, ok := r.byName[name]
	return n, ok
}

// load fills the registry: Docker's predefined ones and the operator's
// conflists.
func (r *registry) load() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, driver := range map[string]string{network.NetworkHost: driverHost, network.NetworkNone: driverNull} {
		n, err := r.predefined(name, driver)
		if err != nil {
			return err
		}
		e := &entry{net: n, predefined: true}
		if e.list, err = conflist(name, map[string]any{"type": map[string]string{
			driverHost: cni.TypeHost, driverNull: cni.TypeNone}[driver]}); err != nil {
			return err
		}
		if err := r.save(n); err != nil {
			return err
		}
		r.byName[name] = e
	}
	if !r.cfg.DisableBridge {
		e, err := r.openDefaultBridge()
		if err != nil {
			return fmt.Errorf("network %s: %w", network.NetworkBridge, err)
		}
		r.byName[network.NetworkBridge] = e
	}
	r.loadConflistsLocked()
	return nil
}

// predefined returns the record of a network that always exists. Its ID stays
// the same for as long as the root does.
func (r *registry) predefined(name, driver string) (network.Network, error) {
	n := network.Network{Name: name, ID: stableID(r.cfg.DataRoot, name), Created: time.Now().UTC(),
		Scope: "local", Driver: driver, EnableIPv4: true,
		IPAM: network.IPAM{Driver: "default"}, Options: map[string]string{}, Labels: map[string]string{}}
	b, err := os.ReadFile(r.dirs.network(name))
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil
	}
	if err != nil {
		return n, err
	}
	var old network.Network
	if err := json.Unmarshal(b, &old); err != nil {
		r.cfg.Log.Warn("the record of a network cannot be read; it is written anew", "network", name, "error", err)
		return n, nil
	}
	n.Created, n.IPAM.Config = old.Created, old.IPAM.Config
	return n, nil
}

func stableID(root, name string) string {
	sum := sha256.Sum256([]byte(root + "\x00" + name))
	return hex.EncodeToString(sum[:])
}

func (r *registry) save(n network.Network) error {
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return writeFile(r.dirs.network(n.Name), b)
}

// bridgeEntry makes the conflist, rules and bridge of n, a bridge network.
func (r *registry) bridgeEntry(n network.Network) (*entry, error) {
	mtu, _ := strconv.Atoi(n.Options[optMTU]) // absent: the kernel's
	e := &entry{net: n, leases: r.dirs.leases(n.Name),
		bridge: &bridge.Bridge{Name: n.Options[optBridgeName], MTU: mtu},
		rules: &firewall.Network{Bridge: n.Options[optBridgeName], Internal: n.Internal,
			ICC: n.Options[optICC] != "false", Masquerade: n.Options[optMasquerade] != "false"},
	}
	for _, c := range n.IPAM.Config {
		s := cni.Subnet{Subnet: c.Subnet, Range: c.IPRange, Gateway: c.Gateway}
		for _, aux := range c.AuxAddress {
			s.Reserved = append(s.Reserved, aux)
		}
		e.subnets = append(e.subnets, s)
		e.rules.Subnets = append(e.rules.Subnets, c.Subnet)
		if c.Gateway.IsValid() {
			e.bridge.Gateways = append(e.bridge.Gateways, netip.PrefixFrom(c.Gateway, c.Subnet.Bits()))
		}
	}
	var err error
	e.list, err = conflist(n.Name,
		map[string]any{"type": cni.TypeBridge, "bridge": e.bridge.Name, "mtu": mtu,
			"ipam":         map[string]any{"type": "berth-ipam", "dataDir": e.leases, "subnets": e.subnets},
			"capabilities": map[string]bool{"ips": true, "mac": true, "defaultRoute": true}},
		map[string]any{"type": cni.TypeFirewall, "table": r.cfg.table(), "bridge": e.bridge.Name,
			"subnets": e.rules.Subnets, "masquerade": e.rules.Masquerade, "icc": e.rules.ICC, "internal": e.rules.Internal},
		map[string]any{"type": cni.TypePorts, "table": r.cfg.table(),
			"capabilities": map[string]bool{"portMappings": true}})
	return e, err
}

func conflist(name string, plugins ...map[string]any) (*libcni.NetworkConfigList, error) {
	b, err := json.Marshal(map[string]any{"cniVersion": cni.Version, "name": name, "plugins": plugins})
	if err != nil {
		return nil, err
	}
	return libcni.NetworkConfFromBytes(b)
}

// loadConflistsLocked adds the networks that the operator describes. A broken one is
// named and left out; a name of ours is ours.
func (r *registry) loadConflistsLocked() {
	if r.cfg.CNIConf == "" {
		return
	}
	files, err := libcni.ConfFiles(r.cfg.CNIConf, []string{".conflist"})
	if err != nil {
		r.cfg.Log.Warn("CNI networks are not loaded", "folder", r.cfg.CNIConf, "error", err)
	}
	for _, f := range files {
		list, err := libcni.NetworkConfFromFile(f)
		if err == nil && r.byName[list.Name] != nil {
			err = fmt.Errorf("a network with name %s already exists", list.Name)
		}
		if err == nil && !validName(list.Name) {
			err = fmt.Errorf("invalid network name %q", list.Name)
		}
		if err != nil {
			r.cfg.Log.Warn("a CNI network is left out", "file", f, "error", err)
			continue
		}
		created := time.Now().UTC()
		if st, err := os.Stat(f); err == nil {
			created = st.ModTime().UTC()
		}
		r.byName[list.Name] = &entry{list: list, net: network.Network{
			Name: list.Name, ID: stableID(r.cfg.DataRoot, list.Name), Created: created, Scope: "local",
			Driver: list.Plugins[0].Network.Type, EnableIPv4: true, IPAM: network.IPAM{Driver: "default"},
			Options: map[string]string{}, Labels: map[string]string{}}}
	}
}
