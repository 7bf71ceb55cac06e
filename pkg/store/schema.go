package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// The schema. All keys and values are bytes as given, unless noted.
//
//	meta/
//	    schema          → uint64, big endian: how many migrations were applied
//	containers/
//	    <container ID>  → the container's record
//	names/
//	    <name>          → ID of the container that has it (name without "/")
//	kv/
//	    <bucket>/
//	        <key>       → value (networks, volumes, …: see Bucket)
//
// Each name's ID is a key of containers: both are written by one transaction.
var (
	bucketMeta       = []byte("meta")
	bucketContainers = []byte("containers")
	bucketNames      = []byte("names")
	bucketKV         = []byte("kv")

	keySchema = []byte("schema")
)

// migrations bring a store from the schema of their index to the next. They
// are only ever appended to: number 0 makes an empty file into schema 1.
var migrations = []func(*bolt.Tx) error{
	func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketContainers, bucketNames, bucketKV} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	},
}

// migrate applies the steps that the file has not seen. Each commits together
// with its number, so that a crash between two of them is no harm.
func migrate(b *bolt.DB, steps []func(*bolt.Tx) error) error {
	at, err := schema(b)
	if err != nil {
		return err
	}
	if at > uint64(len(steps)) {
		return errdefs.ErrFailedPrecondition.WithMessage(fmt.Sprintf(
			"its schema is %d and this berthd knows up to %d: it was written by a newer berthd", at, len(steps)))
	}
	for n := at; n < uint64(len(steps)); n++ {
		err := b.Update(func(tx *bolt.Tx) error {
			if err := steps[n](tx); err != nil {
				return err
			}
			meta, err := tx.CreateBucketIfNotExists(bucketMeta)
			if err != nil {
				return err
			}
			return meta.Put(keySchema, binary.BigEndian.AppendUint64(nil, n+1))
		})
		if err != nil {
			return fmt.Errorf("migrating it to schema %d: %w", n+1, err)
		}
	}
	return nil
}

// schema reads how many migrations the file has seen: 0 for a new one.
func schema(b *bolt.DB) (at uint64, err error) {
	err = b.View(func(tx *bolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if meta == nil {
			return nil
		}
		v := meta.Get(keySchema)
		if len(v) != 8 {
			return errors.New("it is not a store of berthd: no schema number")
		}
		at = binary.BigEndian.Uint64(v)
		return nil
	})
	return at, err
}
