// Package atomicfile writes files of which a reader, or a crash, finds the old
// content or the new.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Prefix is that of files that are being written, or that a crash left.
const Prefix = ".tmp-"

// Write replaces path as a whole or not at all.
func Write(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), Prefix)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
