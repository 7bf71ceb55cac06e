package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/berth-engine/berth/pkg/shim/launch"
)

// binaries are the programs that berthd runs. They come with it and are found
// by its own path, never by the working directory or PATH: what is executed as
// root must be what was installed.
type binaries struct{ shim, init, runc, cni string }

func findBinaries() (binaries, error) {
	self, err := os.Executable()
	if err != nil {
		return binaries{}, fmt.Errorf("own path: %w", err)
	}
	if self, err = filepath.EvalSymlinks(self); err != nil {
		return binaries{}, fmt.Errorf("own path: %w", err)
	}
	dirs := []string{filepath.Dir(self), filepath.Join(filepath.Dir(self), "..", "libexec", "berth")}
	var b binaries
	var task string // the shim executes it
	for name, path := range map[string]*string{"containerd-shim-berth-v2": &b.shim, launch.Program: &task, "berth-init": &b.init, "runc": &b.runc} {
		if *path, err = findBinary(name, dirs); err != nil {
			return binaries{}, err
		}
	}
	b.cni = filepath.Join(filepath.Dir(b.shim), "cni") // a folder, of plugins that only some networks need
	return b, nil
}

func findBinary(name string, dirs []string) (string, error) {
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return filepath.Clean(path), nil
		}
	}
	return "", fmt.Errorf("%s is missing: it belongs into %s or %s (make build, make install)", name, dirs[0], filepath.Clean(dirs[1]))
}
