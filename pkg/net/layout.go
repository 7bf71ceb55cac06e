package net

import (
	"os"
	"path/filepath"
)

// layout says where things are on disk.
type layout struct{ data, exec string }

// networks has a file for each network that must outlive a reboot.
func (l layout) networks() string { return filepath.Join(l.data, "networks") }

// sandboxes has a file for each container's network.
func (l layout) sandboxes() string { return l.state("sandboxes") }

func (l layout) sandbox(id string) string { return filepath.Join(l.sandboxes(), id+".json") }

// leases has a folder of address leases for each network.
func (l layout) leases(network string) string { return filepath.Join(l.state("leases"), network) }

// notes is libcni's folder.
func (l layout) notes() string { return l.state("cni") }

// names is what the shims answer names from.
func (l layout) names() string { return l.state("names") }

// pins has the pinned network namespaces.
func (l layout) pins() string { return filepath.Join(l.exec, "netns") }

func (l layout) pin(id string) string { return filepath.Join(l.pins(), id) }

func (l layout) state(name string) string { return filepath.Join(l.exec, "net", name) }

func (l layout) make() error {
	for _, dir := range []string{l.networks(), l.sandboxes(), l.pins()} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return err
		}
	}
	return nil
}
