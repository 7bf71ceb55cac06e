// Package volumes keeps volumes and turns what a user mounts into a container
// (-v, --mount, --tmpfs, volumes of the image) into mounts of a runtime
// specification.
//
// A volume is a folder of the store's root: its metadata and its data. It
// appears and disappears by one rename, so that a kill at any point leaves it
// whole or absent. Which containers use a volume is not stored: containers say
// so when they are made and again at boot.
//
// Data in volumes and root file systems is hostile: it is reached by
// descriptors, and no link found in it is followed out of it.
package volumes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/volume"
	"golang.org/x/sys/unix"
)

// DefaultDriver is the only driver: folders of this host.
const DefaultDriver = "local"

// AnonymousLabel marks volumes that were made without a name.
const AnonymousLabel = "com.docker.volume.anonymous"

// Config is what Open needs.
type Config struct {
	Root   string // DATA/volumes
	Logger *slog.Logger
}

// Store keeps the volumes of one data root. Its methods may be called at once.
type Store struct {
	root   string
	logger *slog.Logger

	recursiveReadonly bool // the kernel has mount_setattr (5.12)

	turn turn // held to make, rename away or fill in the entry of a volume

	mu      sync.Mutex        // guards volumes, and refs and users of each entry
	volumes map[string]*entry // by name
}

// entry is one volume.
type entry struct {
	meta metadata // never changes
	dir  string   // holds the metadata and data
	turn turn     // held to mount, unmount and copy into the volume

	refs  map[string]bool // containers that were made with it
	users map[string]bool // containers that have it mounted
}

func newEntry(dir string, m metadata) *entry {
	return &entry{meta: m, dir: dir, turn: make(turn, 1), refs: map[string]bool{}, users: map[string]bool{}}
}

func (e *entry) data() string { return filepath.Join(e.dir, dataDir) }

// turn is a lock that one can stop waiting for: who holds it may be doing IO
// that hangs (a network mount).
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }

// Open reads the volumes below c.Root, which it makes when it is not there, and
// sweeps what a killed daemon left half-made or half-removed.
func Open(c Config) (*Store, error) {
	if err := os.MkdirAll(c.Root, 0o711); err != nil {
		return nil, fmt.Errorf("volumes: %w", err)
	}
	s := &Store{root: c.Root, logger: c.Logger, turn: make(turn, 1), volumes: map[string]*entry{}}
	// EBADF for a descriptor that is none tells that the call is known.
	s.recursiveReadonly = !errors.Is(unix.MountSetattr(-1, "", unix.AT_EMPTY_PATH, &unix.MountAttr{}), unix.ENOSYS)
	entries, err := os.ReadDir(c.Root)
	if err != nil {
		return nil, fmt.Errorf("volumes: %w", err)
	}
	for _, e := range entries {
		dir := filepath.Join(c.Root, e.Name())
		switch {
		case !e.IsDir():
		case strings.HasPrefix(e.Name(), newPrefix), strings.HasPrefix(e.Name(), gonePrefix):
			if err := s.sweep(dir); err != nil {
				s.logger.Warn("left over of a volume cannot be removed", "path", dir, "error", err)
			}
		case e.Name()[0] == '.': // no volume's name begins so
		default:
			m, err := readMetadata(dir, e.Name())
			if err != nil {
				s.logger.Error("volume cannot be read and is left out", "volume", e.Name(), "error", err)
				continue
			}
			s.volumes[e.Name()] = newEntry(dir, m)
		}
	}
	return s, nil
}

// Create makes a volume; one of that name that exists is returned as it is.
// InvalidArgument for a bad name or option, NotFound for a driver there is not.
func (s *Store) Create(ctx context.Context, r volume.CreateRequest) (volume.Volume, error) {
	if r.ClusterVolumeSpec != nil {
		return volume.Volume{}, errdefs.ErrNotImplemented.WithMessage("cluster volumes are not supported")
	}
	m := metadata{Name: r.Name, Driver: r.Driver, Labels: r.Labels, Options: r.DriverOpts}
	if m.Name == "" {
		m.Name = anonymousName(unique(), "")
		m.Labels = withAnonymous(m.Labels)
	}
	e, err := s.obtain(ctx, m, "")
	if err != nil {
		return volume.Volume{}, err
	}
	return e.describe(), nil
}

// Inspect describes a volume. NotFound: "get x: no such volume".
func (s *Store) Inspect(name string) (volume.Volume, error) {
	e, err := s.find(name)
	if err != nil {
		return volume.Volume{}, err
	}
	return e.describe(), nil
}

// Users lists the containers that were made with a volume. None for one that
// does not exist.
func (s *Store) Users(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.volumes[name]
	if e == nil {
		return nil
	}
	return sortedKeys(e.refs)
}

func (s *Store) find(name string) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.volumes[name]; e != nil {
		return e, nil
	}
	return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("get %s: no such volume", name))
}

// obtain gives the volume of m's name, which it makes when there is none, and
// notes that container ref uses it ("" is nobody).
func (s *Store) obtain(ctx context.Context, m metadata, ref string) (*entry, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	if e := s.existing(m.Name, ref); e != nil {
		return e, nil
	}
	if err := s.turn.take(ctx); err != nil {
		return nil, err
	}
	defer s.turn.give()
	if e := s.existing(m.Name, ref); e != nil {
		return e, nil
	}
	e, err := s.make(m)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", m.Name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ref != "" {
		e.refs[ref] = true
	}
	s.volumes[m.Name] = e
	return e, nil
}

func (s *Store) existing(name, ref string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.volumes[name]
	if e != nil && ref != "" {
		e.refs[ref] = true
	}
	return e
}

// anonymousName is that of the volume of a container at a path. It follows from
// the two, so that nobody has to remember it.
func anonymousName(container, dest string) string {
	sum := sha256.Sum256([]byte("volume\x00" + container + "\x00" + dest))
	return hex.EncodeToString(sum[:])
}

func sortedKeys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
