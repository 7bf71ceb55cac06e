// Package records keeps the names of containers in files that the containers'
// shims answer queries from, so that names work while the daemon is dead.
//
// Each network has one file, shared by all containers on it (Table reads it),
// and each container has one that says which networks it is on (View). Every
// file is replaced as a whole by a rename: a reader that keeps it open has what
// was true at one moment, and sees by the inode that there is a newer one.
//
// Beware: what Put and Remove change is in the files when they return, but two
// calls for one container must not overlap.
package records

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/berth-engine/berth/pkg/atomicfile"
	"github.com/containerd/errdefs"
)

// maxNames bounds what a container is called on one network.
const maxNames = 1024

// Sandbox is one container's networks, in the order in which they are asked.
type Sandbox struct {
	ID        string
	Endpoints []Endpoint
}

// Endpoint is a container on a network.
type Endpoint struct {
	Network  string       // its name
	Internal bool         // nothing outside of it may be asked
	Plain    bool         // the network has no names: Docker's default bridge
	Addrs    []netip.Addr // of the container
	Names    []string     // the first is what its addresses are called
	Links    []string     // "container:alias", for this container alone
}

// Records is the writing side; there is one in a daemon.
type Records struct {
	dir string

	mu        sync.Mutex // guards the following, and the fields of each table
	sandboxes map[string]Sandbox
	tables    map[string]*table
}

// Open returns the records below dir, which it makes. Nothing in it changes
// before Reset, Put or Remove.
func Open(dir string) (*Records, error) {
	r := &Records{dir: dir, sandboxes: map[string]Sandbox{}, tables: map[string]*table{}}
	for _, d := range []string{r.networks(), r.containers()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Records) networks() string   { return filepath.Join(r.dir, "networks") }
func (r *Records) containers() string { return filepath.Join(r.dir, "containers") }

// Path is where the view of container id is.
func (r *Records) Path(id string) string { return filepath.Join(r.containers(), id) }

// Put replaces what is known of container s.ID. Who asks for a name after Put
// has returned gets the new answer.
func (r *Records) Put(ctx context.Context, s Sandbox) error {
	if err := s.validate(); err != nil {
		return err
	}
	err := r.publish(ctx, r.change(s.ID, &s))
	return errors.Join(err, atomicfile.Write(r.Path(s.ID), s.view()))
}

// Remove forgets a container. One that is not known is no error.
func (r *Records) Remove(ctx context.Context, id string) error {
	if !validName(id) {
		return nil // it cannot have been put
	}
	return errors.Join(remove(r.Path(id)), r.publish(ctx, r.change(id, nil)))
}

// Reset makes the files say what all does, and nothing else.
func (r *Records) Reset(ctx context.Context, all []Sandbox) error {
	r.mu.Lock()
	r.sandboxes, r.tables = map[string]Sandbox{}, map[string]*table{}
	r.mu.Unlock()
	var err error
	keep := map[string]bool{}
	var changed []change
	for _, s := range all {
		if invalid := s.validate(); invalid != nil {
			err = errors.Join(err, invalid)
			continue
		}
		changed = append(changed, r.change(s.ID, &s)...)
		keep[r.Path(s.ID)] = true
		for _, e := range s.Endpoints {
			keep[filepath.Join(r.networks(), e.Network)] = true
		}
	}
	err = errors.Join(err, r.publish(ctx, latest(changed)))
	for _, s := range all {
		if keep[r.Path(s.ID)] {
			err = errors.Join(err, atomicfile.Write(r.Path(s.ID), s.view()))
		}
	}
	for _, dir := range []string{r.networks(), r.containers()} {
		err = errors.Join(err, sweep(dir, keep))
	}
	return err
}

// sweep removes what is not to be kept, and what a crash left half written.
func sweep(dir string, keep map[string]bool) error {
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if name := filepath.Join(dir, f.Name()); !keep[name] {
			err = errors.Join(err, remove(name))
		}
	}
	return err
}

// change is a table that has to be written, and what of it is new.
type change struct {
	table   *table
	version int
}

// latest leaves the last change of each table.
func latest(all []change) (out []change) {
	at := map[*table]int{}
	for _, c := range all {
		i, ok := at[c.table]
		if !ok {
			i = len(out)
			at[c.table], out = i, append(out, c)
		}
		out[i] = c
	}
	return out
}

// change takes s, or nothing, for container id into the tables.
func (r *Records) change(id string, s *Sandbox) []change {
	r.mu.Lock()
	defer r.mu.Unlock()
	touched := map[*table]bool{}
	for _, e := range r.sandboxes[id].Endpoints {
		if t := r.tables[e.Network]; t != nil && !e.Plain {
			t.remove(e)
			touched[t] = true
		}
	}
	delete(r.sandboxes, id)
	if s != nil {
		r.sandboxes[id] = s.copy()
		for _, e := range s.Endpoints {
			if !e.Plain {
				t := r.tableLocked(e.Network)
				t.add(e)
				touched[t] = true
			}
		}
	}
	var out []change
	for t := range touched {
		t.version++
		out = append(out, change{t, t.version})
	}
	return out
}

func (r *Records) tableLocked(network string) *table {
	t := r.tables[network]
	if t == nil {
		t = &table{network: network, path: filepath.Join(r.networks(), network), turn: make(chan struct{}, 1)}
		r.tables[network] = t
	}
	return t
}

// publish returns when each change is in its file. Changes that come while a
// file is being written go together into the next writing of it.
func (r *Records) publish(ctx context.Context, changes []change) error {
	var err error
	for _, c := range changes {
		select {
		case c.table.turn <- struct{}{}:
			err = errors.Join(err, r.write(c))
			<-c.table.turn
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
	return err
}

// write is called by the one whose turn it is.
func (r *Records) write(c change) error {
	t := c.table
	r.mu.Lock()
	done, version := t.written >= c.version, t.version
	var content []byte
	if !done {
		content = t.render()
	}
	r.mu.Unlock()
	if done {
		return nil
	}
	err := atomicfile.Write(t.path, content)
	if len(content) == 0 {
		err = remove(t.path)
	}
	if err != nil {
		return fmt.Errorf("names of network %s: %w", t.network, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t.written = version
	// Whoever has changed it meanwhile has raised its version.
	if t.version == version && len(content) == 0 && r.tables[t.network] == t {
		delete(r.tables, t.network)
	}
	return nil
}

func (s Sandbox) copy() Sandbox {
	s.Endpoints = slices.Clone(s.Endpoints)
	for i, e := range s.Endpoints {
		s.Endpoints[i].Addrs, s.Endpoints[i].Names = slices.Clone(e.Addrs), slices.Clone(e.Names)
	}
	return s
}

func (s Sandbox) validate() error {
	if !validName(s.ID) {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid container ID %q", s.ID))
	}
	for _, e := range s.Endpoints {
		if !validName(e.Network) {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid network name %q", e.Network))
		}
		if len(e.Names)+len(e.Links) > maxNames {
			return errdefs.ErrInvalidArgument.WithMessage(
				fmt.Sprintf("a container can have %d names on network %s, not %d", maxNames, e.Network, len(e.Names)+len(e.Links)))
		}
	}
	return nil
}

// validName says whether s can be the name of a file here.
func validName(s string) bool {
	return s != "" && len(s) <= 200 && s[0] != '.' && !strings.ContainsAny(s, "/\x00")
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
