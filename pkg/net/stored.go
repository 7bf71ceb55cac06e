package net

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-engine/berth/pkg/atomicfile"
	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/containernetworking/cni/libcni"
	"github.com/moby/moby/api/types/network"
)

// A network's file, DATA/networks/NAME.conflist, is the CNI configuration list
// that its endpoints are made by, so that libcni and cnitool can read it, with
// one more key.
const storedKey = "berth"

// stored is what is below that key: what the list does not say.
type stored struct {
	Network       network.Network `json:"network"`
	ForeignBridge bool            `json:"foreignBridge,omitempty"`
	MadeParent    bool            `json:"madeParent,omitempty"`
}

// maxStored bounds the files that are read, in bytes.
const maxStored = 1 << 20

func conflist(name string, plugins ...map[string]any) (*libcni.NetworkConfigList, error) {
	b, err := json.Marshal(map[string]any{"cniVersion": cni.Version, "name": name, "plugins": plugins})
	if err != nil {
		return nil, err
	}
	return libcni.NetworkConfFromBytes(b)
}

// save writes the file of e, whole or not at all.
func (r *registry) save(e *entry) error {
	var all map[string]any
	if err := json.Unmarshal(e.list.Bytes, &all); err != nil {
		return err
	}
	all[storedKey] = stored{Network: e.net, ForeignBridge: e.foreign, MadeParent: e.madeParent}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(r.dirs.network(e.net.Name), b)
}

// forget removes the file of a network. Absent is no error.
func (r *registry) forget(name string) error {
	if err := os.Remove(r.dirs.network(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readAll reads the files of all networks. One that cannot be read is named,
// left as it is and left out; what a crash left of writing one is removed.
func (r *registry) readAll() (map[string]stored, error) {
	dir := r.dirs.networks()
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := map[string]stored{}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), atomicfile.Prefix) {
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				return nil, err
			}
			continue
		}
		name, ok := strings.CutSuffix(f.Name(), ".conflist")
		if !ok {
			continue
		}
		s, err := readStored(filepath.Join(dir, f.Name()))
		if err == nil && (s.Network.Name != name || !define.ValidName(name) || len(s.Network.ID) != 64) {
			err = errors.New("its name or ID is wrong")
		}
		if err != nil {
			r.cfg.Log.Error("the file of a network cannot be read; the network is left out", "network", name, "error", err)
			continue
		}
		out[name] = s
	}
	return out, nil
}

func readStored(path string) (stored, error) {
	st, err := os.Stat(path)
	if err != nil {
		return stored{}, err
	}
	if st.Size() > maxStored {
		return stored{}, errors.New("it is too large")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return stored{}, err
	}
	return parseStored(b)
}

func parseStored(b []byte) (stored, error) {
	var file struct {
		Berth *stored `json:"berth"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return stored{}, err
	}
	if file.Berth == nil {
		return stored{}, errors.New("it has no key " + storedKey)
	}
	return *file.Berth, nil
}
