package store

import (
	"bytes"

	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// Bucket is a space of keys and values of its own, for owners whose records
// need no transaction over several of them.
type Bucket struct {
	db   *DB
	name []byte
}

// Bucket returns the bucket of that name. It comes to be with its first Put.
func (db *DB) Bucket(name string) Bucket { return Bucket{db: db, name: []byte(name)} }

// Put writes one value.
func (b Bucket) Put(key string, value []byte) error {
	return b.db.update(func(tx *bolt.Tx) error {
		own, err := tx.Bucket(bucketKV).CreateBucketIfNotExists(b.name)
		if err != nil {
			return err
		}
		return own.Put([]byte(key), value)
	})
}

// Get returns one value. NotFound: there is none.
func (b Bucket) Get(key string) (value []byte, err error) {
	err = b.db.view(func(tx *bolt.Tx) error {
		if own := tx.Bucket(bucketKV).Bucket(b.name); own != nil {
			value = bytes.Clone(own.Get([]byte(key)))
		}
		if value == nil {
			return errdefs.ErrNotFound.WithMessage("no record of " + key)
		}
		return nil
	})
	return value, err
}

// Delete removes one value. Absent is no error.
func (b Bucket) Delete(key string) error {
	return b.db.update(func(tx *bolt.Tx) error {
		own := tx.Bucket(bucketKV).Bucket(b.name)
		if own == nil {
			return nil
		}
		return own.Delete([]byte(key))
	})
}

// All returns every value by its key.
func (b Bucket) All() (map[string][]byte, error) {
	all := map[string][]byte{}
	err := b.db.view(func(tx *bolt.Tx) error {
		own := tx.Bucket(bucketKV).Bucket(b.name)
		if own == nil {
			return nil
		}
		return own.ForEach(func(key, value []byte) error {
			all[string(key)] = bytes.Clone(value)
			return nil
		})
	})
	return all, err
}
