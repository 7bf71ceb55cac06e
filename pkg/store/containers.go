package store

import (
	"bytes"
	"fmt"

	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// Container is a record with its key.
type Container struct {
	ID     string
	Record []byte
}

// CreateContainer writes a new container and its name. AlreadyExists: the name
// or the ID is taken, in Docker's words.
func (db *DB) CreateContainer(id, name string, record []byte) error {
	return db.update(func(tx *bolt.Tx) error {
		if tx.Bucket(bucketContainers).Get([]byte(id)) != nil {
			return errdefs.ErrAlreadyExists.WithMessage("Conflict. The container ID " + id + " is already in use")
		}
		if err := claim(tx, name, id); err != nil {
			return err
		}
		return tx.Bucket(bucketContainers).Put([]byte(id), record)
	})
}

// PutContainer replaces a container's record. NotFound: it was deleted.
func (db *DB) PutContainer(id string, record []byte) error {
	return db.update(func(tx *bolt.Tx) error { return replace(tx, id, record) })
}

// PutContainers replaces many records in one commit. Those of containers that
// were deleted meanwhile are left out: a late write does not bring one back.
func (db *DB) PutContainers(records map[string][]byte) error {
	if len(records) == 0 {
		return nil
	}
	return db.update(func(tx *bolt.Tx) error {
		for id, record := range records {
			if err := replace(tx, id, record); err != nil && !errdefs.IsNotFound(err) {
				return err
			}
		}
		return nil
	})
}

// RenameContainer gives a container another name and writes its record in the
// same commit. AlreadyExists: another container has newName. NotFound: there
// is no such container. An oldName that is not the container's stays as it is.
func (db *DB) RenameContainer(id, oldName, newName string, record []byte) error {
	return db.update(func(tx *bolt.Tx) error {
		if err := replace(tx, id, record); err != nil {
			return err
		}
		if err := claim(tx, newName, id); err != nil {
			return err
		}
		names := tx.Bucket(bucketNames)
		if oldName == newName || !bytes.Equal(names.Get([]byte(oldName)), []byte(id)) {
			return nil
		}
		return names.Delete([]byte(oldName))
	})
}

// DeleteContainer removes a container and every name of it. Absent is no error.
func (db *DB) DeleteContainer(id string) error {
	return db.update(func(tx *bolt.Tx) error {
		names := tx.Bucket(bucketNames)
		var mine [][]byte // deleted after the walk: bbolt forbids it during
		err := names.ForEach(func(name, owner []byte) error {
			if bytes.Equal(owner, []byte(id)) {
				mine = append(mine, bytes.Clone(name))
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, name := range mine {
			if err := names.Delete(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketContainers).Delete([]byte(id))
	})
}

// Containers returns every container, in the order of their IDs.
func (db *DB) Containers() ([]Container, error) {
	var all []Container
	err := db.view(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketContainers).ForEach(func(id, record []byte) error {
			all = append(all, Container{ID: string(id), Record: bytes.Clone(record)})
			return nil
		})
	})
	return all, err
}

// claim makes name that of container id, unless another container has it.
func claim(tx *bolt.Tx, name, id string) error {
	names := tx.Bucket(bucketNames)
	if owner := names.Get([]byte(name)); owner != nil && string(owner) != id {
		return errdefs.ErrAlreadyExists.WithMessage(fmt.Sprintf(
			"Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.",
			"/"+name, owner))
	}
	return names.Put([]byte(name), []byte(id))
}

// replace writes the record of a container that exists.
func replace(tx *bolt.Tx, id string, record []byte) error {
	containers := tx.Bucket(bucketContainers)
	if containers.Get([]byte(id)) == nil {
		return errdefs.ErrNotFound.WithMessage("No such container: " + id)
	}
	return containers.Put([]byte(id), record)
}
