// Package rootfs opens a container's root filesystem from the host.
//
// A Root is a detached mount: it is in no mount table, nobody can walk into
// it, and it is gone when it is closed or its process ends. Neither devices nor
// programs work in it. It is read as pkg/files reads trees: names end inside.
package rootfs

import (
	"os"

	"github.com/berth-engine/berth/pkg/files"
)

// Root is an open root filesystem.
type Root struct{ *files.Tree }

func newRoot(fd int, name string) *Root {
	return &Root{files.NewTree(os.NewFile(uintptr(fd), name))}
}
