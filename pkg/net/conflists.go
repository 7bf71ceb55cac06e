package net

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/containernetworking/cni/libcni"
	"github.com/moby/moby/api/types/network"
)

// conflists is the folder of an operator's networks. It is looked at whenever
// networks are asked for, and a file read when it has changed.
type conflists struct {
	cfg Config

	mu    sync.Mutex // guards files, which is replaced as a whole
	files map[string]conflistFile
}

// conflistFile is a file as it was read. entry is nil when it is no network.
type conflistFile struct {
	info  os.FileInfo
	entry *entry
}

// read returns the networks, in the order of their files. A broken file is
// named, once, and left out.
func (c *conflists) read() (out []*entry) {
	if c.cfg.CNIConf == "" {
		return nil
	}
	paths, err := libcni.ConfFiles(c.cfg.CNIConf, []string{".conflist"})
	if err != nil {
		c.cfg.Log.Warn("CNI networks are not loaded", "folder", c.cfg.CNIConf, "error", err)
	}
	c.mu.Lock()
	old := c.files
	c.mu.Unlock()
	files := make(map[string]conflistFile, len(paths))
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			continue // gone since
		}
		f, known := old[path]
		if !known || !os.SameFile(f.info, info) || f.info.Size() != info.Size() || !f.info.ModTime().Equal(info.ModTime()) {
			f = conflistFile{info: info}
			if f.entry, err = c.open(path, info.ModTime()); err != nil {
				c.cfg.Log.Warn("a CNI network is left out", "file", path, "error", err)
			}
		}
		files[path] = f
		if f.entry != nil {
			out = append(out, f.entry)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files = files
	return out
}

func (c *conflists) open(path string, created time.Time) (*entry, error) {
	list, err := libcni.NetworkConfFromFile(path)
	if err != nil {
		return nil, err
	}
	if !define.ValidName(list.Name) {
		return nil, fmt.Errorf("invalid network name %q", list.Name)
	}
	if len(list.Plugins) == 0 {
		return nil, errors.New("no plugins")
	}
	return &entry{list: list, operator: true, net: network.Network{
		Name: list.Name, ID: stableID(c.cfg.DataRoot, list.Name), Created: created.UTC(), Scope: "local",
		Driver: list.Plugins[0].Network.Type, EnableIPv4: true, IPAM: network.IPAM{Driver: "default"},
		Options: map[string]string{}, Labels: map[string]string{}}}, nil
}

// refresh takes up what the operator has changed. A name of ours is ours, and of
// two files with one name the first counts.
func (r *registry) refresh() {
	found := r.conflists.read()
	r.mu.Lock()
	defer r.mu.Unlock()
	have := map[string]*entry{}
	for _, e := range found {
		name := e.net.Name
		switch old := r.byName[name]; {
		case have[name] != nil, old != nil && !old.operator:
			if !e.refused {
				r.cfg.Log.Warn("a CNI network is left out: another has its name", "network", name)
			}
			e.refused = true
		default:
			have[name], r.byName[name] = e, e
		}
	}
	for name, e := range r.byName {
		if e.operator && have[name] == nil {
			delete(r.byName, name)
		}
	}
}
