// Package conflist keeps networks on the disk. A network's file, NAME.conflist, is the
// CNI configuration list that its endpoints are made by, so that libcni and cnitool can
// read it, with one more key, "berth", for what the list does not say.
//
// A file is there as a whole or not at all. What cannot be read is left as it is and left
// out: who has root wrote it, but an older or a newer berthd may have been that.
package conflist

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-engine/berth/pkg/atomicfile"
	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/containernetworking/cni/libcni"
	"github.com/moby/moby/api/types/network"
)

// key is where a Record is in a list.
const key = "berth"

// Record is what a list does not say.
type Record struct {
	Network       network.Network `json:"network"`
	ForeignBridge bool            `json:"foreignBridge,omitempty"` // it was there before the network
	MadeParent    bool            `json:"madeParent,omitempty"`    // of macvlan and ipvlan: it was made for them
}

// maxSize bounds the files that are read, in bytes.
const maxSize = 1 << 20

// New makes the list of a network's plugins.
func New(name string, plugins ...map[string]any) (*libcni.NetworkConfigList, error) {
	b, err := json.Marshal(map[string]any{"cniVersion": cni.Version, "name": name, "plugins": plugins})
	if err != nil {
		return nil, err
	}
	return libcni.NetworkConfFromBytes(b)
}

// Folder has a file for each network. It must exist.
type Folder struct {
	Path string
	Log  *slog.Logger
}

// File is the path of a network's.
func (f Folder) File(name string) string { return filepath.Join(f.Path, name+".conflist") }

// Save writes the file of a network.
func (f Folder) Save(list *libcni.NetworkConfigList, r Record) error {
	var all map[string]any
	if err := json.Unmarshal(list.Bytes, &all); err != nil {
		return err
	}
	all[key] = r
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(f.File(r.Network.Name), b)
}

// Remove removes the file of a network. Absent is no error.
func (f Folder) Remove(name string) error {
	if err := os.Remove(f.File(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// All reads the files of all networks, by name. One that cannot be read is named in the
// log; what a crash left of writing one is removed.
func (f Folder) All() (map[string]Record, error) {
	files, err := os.ReadDir(f.Path)
	if err != nil {
		return nil, err
	}
	out := map[string]Record{}
	for _, file := range files {
		path := filepath.Join(f.Path, file.Name())
		if strings.HasPrefix(file.Name(), atomicfile.Prefix) {
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		name, ok := strings.CutSuffix(file.Name(), ".conflist")
		if !ok {
			continue
		}
		r, err := read(path)
		if err == nil && (r.Network.Name != name || !define.ValidName(name) || len(r.Network.ID) != 64) {
			err = errors.New("its name or ID is wrong")
		}
		if err != nil {
			f.Log.Error("the file of a network cannot be read; the network is left out", "network", name, "error", err)
			continue
		}
		out[name] = r
	}
	return out, nil
}

func read(path string) (Record, error) {
	st, err := os.Stat(path)
	if err != nil {
		return Record{}, err
	}
	if st.Size() > maxSize {
		return Record{}, errors.New("it is too large")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return Record{}, err
	}
	return parse(b)
}

func parse(b []byte) (Record, error) {
	var file struct {
		Berth *Record `json:"berth"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return Record{}, err
	}
	if file.Berth == nil {
		return Record{}, errors.New("it has no key " + key)
	}
	return *file.Berth, nil
}
