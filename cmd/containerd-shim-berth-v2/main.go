// Command containerd-shim-berth-v2 is what containerd executes to start the shim of a
// container, and to clean up after it: it starts containerd-shim-berth-task, which stays
// (package launch). It is not meant to be run by hand.
package main

import (
	"os"

	"github.com/berth-engine/berth/pkg/shim/launch"
)

func main() { os.Exit(launch.Run()) }
