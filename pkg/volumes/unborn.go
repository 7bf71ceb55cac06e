package volumes

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/berth-engine/berth/pkg/volumes/points"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"
)

// unbornDir is the folder in the store's root for what unborn notes.
const unbornDir = ".unborn"

// unborn is a folder of notes, one for each container that has volumes without a
// name and is being made, or removed with them: a kill between that and its record's
// commit would leave them with nobody to ever ask for them. A volume that a container
// has left on purpose looks the same otherwise.
type unborn string

// note writes down the volumes that go with a container if it has no record.
func (u unborn) note(id string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	b, err := json.Marshal(names)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(u), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(string(u), id), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close(), syncDir(string(u)))
}

// forget drops a note; none is no error.
func (u unborn) forget(id string) error {
	if err := os.Remove(filepath.Join(string(u), id)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// all reads the notes. A broken one is of a kill while it was written, before any
// volume was made.
func (u unborn) all() (map[string][]string, error) {
	entries, err := os.ReadDir(string(u))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(string(u), e.Name()))
		if err != nil {
			return nil, err
		}
		var names []string
		_ = json.Unmarshal(b, &names)
		out[e.Name()] = names
	}
	return out, nil
}

// anonymous are the names of a container's volumes that were given none.
func anonymous(id string, all []points.Point) (names []string) {
	for _, p := range all {
		if p.Type == mount.TypeVolume && p.Name == "" {
			names = append(names, wanted(p, id).Name)
		}
	}
	return names
}

// Born says that a container that Prepare was called for exists from now on.
func (s *Store) Born(id string) error {
	s.catalog.born(id)
	return s.unborn.forget(id)
}

// Doom says that a container is about to be removed with its volumes without a name.
func (s *Store) Doom(id string) error {
	var names []string
	for _, e := range s.catalog.choose(func(e *entry) bool { return e.anonymous() && e.refs[id] && len(e.refs) == 1 }) {
		names = append(names, e.meta.Name)
	}
	return s.unborn.note(id, names)
}

// sweepUnborn removes what a kill in the midst of a creation or removal left.
// Containers that exist have said so.
func (s *Store) sweepUnborn(ctx context.Context) error {
	notes, err := s.unborn.all()
	if err != nil {
		return err
	}
	var errs []error
	for id, names := range notes {
		for _, name := range names {
			// One that a container has is in use.
			if err := s.Remove(ctx, name, true); err != nil && !errdefs.IsConflict(err) {
				errs = append(errs, err)
			}
		}
		errs = append(errs, s.unborn.forget(id))
	}
	return errors.Join(errs...)
}
