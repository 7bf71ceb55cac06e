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

	"github.com/berth-engine/berth/pkg/volumes/points"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/volume"
	"golang.org/x/sys/unix"
)

// AnonymousLabel marks volumes that were made without a name.
const AnonymousLabel = "com.docker.volume.anonymous"

// Config is what Open needs.
type Config struct {
	Root     string // DATA/volumes
	DataRoot string // DATA, where roots of containers are mounted
	Publish  func(events.Message)
	Freeze   Freeze // pauses containers, while their volumes are copied
	Images   OpenImage
	Logger   *slog.Logger
	// FaultPoint is called at each step whose interruption tests cover; optional.
	FaultPoint func(name string)
}

// OpenImage opens what the n-th image that is mounted into a container (from 0, in
// the order of its mounts) has: a mount of its own that is in no mount table yet.
type OpenImage = func(ctx context.Context, container string, n int) (*os.File, error)

// Store keeps the volumes of one data root. Its methods may be called at once.
type Store struct {
	catalog *catalog
	parser  points.Parser
	mounter *mounter
	backups *Backups
	unborn  unborn
	news    teller
	logger  *slog.Logger
	fault   func(name string)
}

// Open reads the volumes below c.Root, which it makes when it is not there, and
// sweeps what a killed daemon left half-made or half-removed.
func Open(c Config) (*Store, error) {
	if err := os.MkdirAll(c.Root, 0o711); err != nil {
		return nil, fmt.Errorf("volumes: %w", err)
	}
	if c.FaultPoint == nil {
		c.FaultPoint = func(string) {}
	}
	all, err := openCatalog(c)
	if err != nil {
		return nil, fmt.Errorf("volumes: %w", err)
	}
	m := &mounter{
		catalog: all, images: c.Images, places: places(filepath.Join(c.Root, placesDir)),
		// EBADF for a descriptor that is none tells that the call is known.
		recursiveReadonly: !errors.Is(unix.MountSetattr(-1, "", unix.AT_EMPTY_PATH, &unix.MountAttr{}), unix.ENOSYS),
	}
	b := &Backups{catalog: all, mounter: m, freeze: c.Freeze}
	return &Store{catalog: all, parser: points.Parser{DataRoot: c.DataRoot}, mounter: m, backups: b, unborn: unborn(filepath.Join(c.Root, unbornDir)), news: c.Publish, logger: c.Logger, fault: c.FaultPoint}, nil
}

// Close ends the deleting of what is no volume any more; the next Open goes on with it.
func (s *Store) Close() { s.catalog.sweeper.close() }

// Create makes a volume; one of that name that exists is returned as it is.
// InvalidArgument for a bad name or option, NotFound for a driver there is not.
func (s *Store) Create(ctx context.Context, r volume.CreateRequest) (volume.Volume, error) {
	if r.ClusterVolumeSpec != nil {
		return volume.Volume{}, errdefs.ErrUnavailable.WithMessage(`This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`)
	}
	m := metadata{Name: r.Name, Driver: r.Driver, Labels: r.Labels, Options: r.DriverOpts}
	if m.Name == "" {
		m.Name = anonymousName(unique(), "")
		m.Labels = withAnonymous(m.Labels)
	}
	e, err := s.catalog.obtain(ctx, m, "", false)
	if err != nil {
		return volume.Volume{}, err
	}
	return e.describe(), nil
}

// Inspect describes a volume. NotFound: "get x: no such volume".
func (s *Store) Inspect(name string) (volume.Volume, error) {
	e, err := s.catalog.find(name)
	if err != nil {
		return volume.Volume{}, err
	}
	return e.describe(), nil
}

// Users lists the containers that were made with a volume. None for one that
// does not exist.
func (s *Store) Users(name string) []string {
	return s.catalog.containers(name)
}

// Remove removes a volume: when it returns there is none, and what it held is deleted
// behind that. Conflict when containers have it; NotFound when there is none and force
// is not set.
func (s *Store) Remove(ctx context.Context, name string, force bool) error {
	return s.catalog.remove(ctx, name, force)
}

// anonymousName is that of the volume of a container at a path. It follows from
// the two, so that nobody has to remember it.
func anonymousName(container, dest string) string {
	sum := sha256.Sum256([]byte("volume\x00" + container + "\x00" + dest))
	return hex.EncodeToString(sum[:])
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}

func sortedKeys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
