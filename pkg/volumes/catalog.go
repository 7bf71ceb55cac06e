package volumes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/volume"
	"golang.org/x/sys/unix"
)

// catalog knows which volumes there are and brings them into being and away.
// uses.go has who uses them.
type catalog struct {
	root  string
	news  teller
	fault func(name string)

	sweeper *sweeper

	turn turn // held to make, rename away or fill in the entry of a volume

	mu      sync.Mutex        // guards the maps, and unborn, refs and users of each entry
	volumes map[string]*entry // by name
	running map[string]bool   // containers that were found running at boot
}

// entry is one volume.
type entry struct {
	meta metadata // never changes
	dir  string   // holds the metadata and data
	turn turn     // held to mount, unmount and copy into the volume

	// unborn is the container whose creation made it, for as long as nobody else has
	// asked for it and that one is not there: it goes with a creation that fails.
	unborn string
	refs   map[string]bool // containers that were made with it
	users  map[string]bool // containers that have it mounted
}

func newEntry(dir string, m metadata) *entry {
	return &entry{meta: m, dir: dir, turn: make(turn, 1), refs: map[string]bool{}, users: map[string]bool{}}
}

func (e *entry) data() string { return filepath.Join(e.dir, dataDir) }

// anonymous says whether it was made without a name.
func (e *entry) anonymous() bool {
	_, is := e.meta.Labels[AnonymousLabel]
	return is
}

func (e *entry) describe() volume.Volume {
	return volume.Volume{
		Name: e.meta.Name, Driver: e.meta.Driver, Scope: "local", Mountpoint: e.data(),
		CreatedAt: e.meta.CreatedAt.Format(time.RFC3339), Labels: maps.Clone(e.meta.Labels), Options: maps.Clone(e.meta.Options),
	}
}

// openCatalog reads the volumes in root and sweeps what a killed daemon left.
func openCatalog(cfg Config) (*catalog, error) {
	root, logger := cfg.Root, cfg.Logger
	c := &catalog{root: root, news: cfg.Publish, fault: cfg.FaultPoint, turn: make(turn, 1), volumes: map[string]*entry{}, running: map[string]bool{}, sweeper: newSweeper(logger)}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		switch {
		case !e.IsDir():
		case strings.HasPrefix(e.Name(), newPrefix), strings.HasPrefix(e.Name(), gonePrefix):
			c.sweeper.later(dir)
		case e.Name()[0] == '.': // no volume's name begins so
		default:
			m, err := readMetadata(dir, e.Name())
			if err != nil {
				logger.Error("volume cannot be read and is left out", "volume", e.Name(), "error", err)
				continue
			}
			c.volumes[e.Name()] = newEntry(dir, m)
		}
	}
	return c, nil
}

func (c *catalog) find(name string) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.volumes[name]; e != nil {
		return e, nil
	}
	return nil, errdefs.ErrNotFound.WithMessage(fmt.Sprintf("get %s: no such volume", name))
}

// obtain gives the volume of m's name, which it makes when there is none, and
// notes that container ref uses it ("" is nobody). unborn says that ref is only being
// created.
func (c *catalog) obtain(ctx context.Context, m metadata, ref string, unborn bool) (*entry, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	if e := c.existing(m.Name, ref); e != nil {
		return e, nil
	}
	if err := c.turn.take(ctx); err != nil {
		return nil, err
	}
	defer c.turn.give()
	if e := c.existing(m.Name, ref); e != nil {
		return e, nil
	}
	e, err := c.make(m)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", m.Name, err)
	}
	if unborn {
		e.unborn = ref
	}
	c.add(e, ref)
	return e, nil
}

// add makes a volume that is in its place known.
func (c *catalog) add(e *entry, ref string) {
	c.mu.Lock()
	if ref != "" {
		e.refs[ref] = true
	}
	c.volumes[e.meta.Name] = e
	c.mu.Unlock()
	c.news.tell(events.ActionCreate, e.meta, nil)
}

func (c *catalog) existing(name, ref string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.volumes[name]
	if e == nil {
		return nil
	}
	if ref != "" {
		e.refs[ref] = true
	}
	if ref != e.unborn {
		e.unborn = ""
	}
	return e
}

// choose gives the volumes that pass, by name. pass is called with c.mu held.
func (c *catalog) choose(pass func(*entry) bool) []*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*entry
	for _, e := range c.volumes {
		if pass(e) {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *entry) int { return strings.Compare(a.meta.Name, b.meta.Name) })
	return out
}

// make puts a new volume into its place; the turn is held.
func (c *catalog) make(m metadata) (*entry, error) {
	tmp, m, err := c.stage(m)
	if err != nil {
		return nil, err
	}
	return c.place(tmp, m)
}

// stage makes an empty volume that has no name yet.
func (c *catalog) stage(m metadata) (tmp string, _ metadata, err error) {
	m.CreatedAt = time.Now().UTC()
	tmp = filepath.Join(c.root, newPrefix+unique())
	if err := fill(tmp, m); err != nil {
		return "", m, errors.Join(err, sweep(context.Background(), tmp))
	}
	c.fault("volume.staged")
	return tmp, m, nil
}

// place gives a staged volume its name, or sweeps it; the turn is held.
func (c *catalog) place(tmp string, m metadata) (*entry, error) {
	dir := filepath.Join(c.root, m.Name)
	if err := unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, dir, unix.RENAME_NOREPLACE); err != nil {
		// EEXIST: a folder that is no volume of ours; it is not touched.
		return nil, errors.Join(&os.PathError{Op: "rename", Path: dir, Err: err}, sweep(context.Background(), tmp))
	}
	c.fault("volume.placed")
	return newEntry(dir, m), syncDir(c.root)
}

func fill(tmp string, m metadata) error {
	// Who may pass here can reach data whose own mode lets him.
	if err := os.Mkdir(tmp, 0o701); err != nil {
		return err
	}
	data := filepath.Join(tmp, dataDir)
	if err := os.Mkdir(data, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(data, 0o755); err != nil { // whatever the umask
		return err
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(tmp, metaFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close(), syncDir(tmp))
}
