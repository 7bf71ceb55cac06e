package sandbox

import (
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/berth-engine/berth/pkg/atomicfile"
)

// Store is the records, on disk and in memory.
type Store struct {
	dir string // a file for each
	pin func(id string) string
	log *slog.Logger

	mu   sync.RWMutex // guards byID, whose values are never changed, only replaced
	byID map[string]*Sandbox
}

// Get finds the record of a container.
func (b *Store) Get(id string) (*Sandbox, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s, ok := b.byID[id]
	return s, ok
}

// All are the records by container.
func (b *Store) All() map[string]*Sandbox {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return maps.Clone(b.byID)
}

// Put keeps s, on disk and then in memory.
func (b *Store) Put(s *Sandbox) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(b.path(s.ID), text); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.byID[s.ID] = s
	return nil
}

// Remove drops a record. Absent is no error.
func (b *Store) Remove(id string) error {
	err := os.Remove(b.path(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.byID, id)
	return nil
}

// Load reads what an earlier process recorded in dir. pin is the path that a
// container's network namespace is kept at: a record that cannot be read is one of
// that namespace alone.
func Load(dir string, pin func(id string) string, log *slog.Logger) (*Store, error) {
	b := &Store{dir: dir, pin: pin, log: log, byID: map[string]*Sandbox{}}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		id, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok { // a temporary file that a crash left
			if err := os.Remove(path); err != nil {
				return nil, err
			}
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		s := &Sandbox{}
		if err := json.Unmarshal(text, s); err != nil || s.ID != id {
			log.Error("the record of a sandbox cannot be read; what it describes will be removed",
				"container", id, "error", err)
			s = &Sandbox{ID: id, Key: pin(id)}
		}
		b.byID[id] = s
	}
	return b, nil
}

func (b *Store) path(id string) string { return filepath.Join(b.dir, id+".json") }
