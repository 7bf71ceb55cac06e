package bundle

import (
	"fmt"
	"os"

	"github.com/berth-engine/berth/pkg/runtime/rootfs"
)

// RootView opens a container's root file system when it is first read: most
// containers name no user, and need no look-up.
type RootView struct {
	open func() (*rootfs.Root, error)
	root *rootfs.Root
}

// readFile reads one file, of at most max bytes, as the container would see it.
func (v *RootView) readFile(name string, max int64) ([]byte, error) {
	if err := v.ready(); err != nil {
		return nil, err
	}
	return v.root.ReadFile(name, max)
}

func (v *RootView) ready() (err error) {
	if v.root != nil {
		return nil
	}
	if v.root, err = v.open(); err != nil {
		return fmt.Errorf("root filesystem: %w", err)
	}
	return nil
}

func (v *RootView) Close() {
	if v.root != nil {
		_ = v.root.Close() // read only
	}
}

// openDir opens a folder of the root filesystem as the container would see it.
func (v *RootView) OpenDir(name string) (*os.File, error) {
	if err := v.ready(); err != nil {
		return nil, err
	}
	return v.root.OpenDir(name)
}
