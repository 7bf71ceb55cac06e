// Package store keeps berthd's records in one bbolt file. It keeps bytes: what
// they mean is their owner's business (pkg/engine/container for containers).
//
// Every method that writes returns after its change is on the disk, and a
// change is there as a whole or not at all. Writers that come while a commit
// is under way share the next one, so that many containers starting at once
// cost a few syncs, not one each. The file is locked: it also keeps a second
// berthd off the data root.
package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// lockWait is how long Open waits for the file's lock: long enough for a
// berthd that is just closing, short enough for a person who waits.
const lockWait = 500 * time.Millisecond

// DB is an open store. Its methods may be called from any goroutine.
type DB struct {
	bolt    *bolt.DB
	updates chan update
	closing chan struct{}
	close   func() error
	wg      sync.WaitGroup
}

// update is one caller's change and where its outcome goes.
type update struct {
	apply func(*bolt.Tx) error // may run more than once
	done  chan error           // holds one
}

// Open opens the store at path, makes it when it is absent (the folder too,
// for root alone) and brings its schema up to date. Unavailable: another
// process has it open. FailedPrecondition: a newer version wrote it.
func Open(path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return nil, err
	}
	b, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, inUse(path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	if err := migrate(b, migrations); err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), b.Close())
	}
	db := &DB{bolt: b, updates: make(chan update), closing: make(chan struct{})}
	db.close = sync.OnceValue(func() error {
		close(db.closing)
		db.wg.Wait()
		return db.bolt.Close()
	})
	db.wg.Go(db.commits)
	return db, nil
}

// Close waits for changes under way and unlocks the file. Changes that come
// later fail with Unavailable.
func (db *DB) Close() error { return db.close() }

// update applies a change with whatever else is waiting, in one commit.
func (db *DB) update(apply func(*bolt.Tx) error) error {
	u := update{apply: apply, done: make(chan error, 1)}
	select {
	case db.updates <- u:
		return <-u.done
	case <-db.closing:
		return errdefs.ErrUnavailable.WithMessage("the store is closed")
	}
}

func (db *DB) view(read func(*bolt.Tx) error) error {
	err := db.bolt.View(read)
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return errdefs.ErrUnavailable.WithMessage("the store is closed")
	}
	return err
}

// commits is the one writer.
func (db *DB) commits() {
	for {
		select {
		case u := <-db.updates:
			db.commit(db.waiting(u))
		case <-db.closing:
			return
		}
	}
}

// waiting adds to first what other callers have ready. The channel has no
// buffer, so that it only takes from callers who wait right now.
func (db *DB) waiting(first update) []update {
	batch := []update{first}
	for {
		select {
		case u := <-db.updates:
			batch = append(batch, u)
		default:
			return batch
		}
	}
}

// commit writes the batch in one transaction. A change that is refused leaves
// the batch with its error, and the others start again without it.
func (db *DB) commit(batch []update) {
	for len(batch) > 0 {
		refused := -1
		err := db.bolt.Update(func(tx *bolt.Tx) error {
			for i, u := range batch {
				if err := u.apply(tx); err != nil {
					refused = i
					return err
				}
			}
			return nil
		})
		if refused >= 0 {
			batch[refused].done <- err
			batch = slices.Delete(batch, refused, refused+1)
			continue
		}
		for _, u := range batch {
			u.done <- err
		}
		return
	}
}
