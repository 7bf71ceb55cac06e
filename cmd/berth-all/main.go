// Command berth-all is the client with all its commands. berth executes it for those that
// it has not itself, under its own name: nobody calls it.
package main

import (
	"github.com/berth-engine/berth/cmd/berth/client"
	"github.com/berth-engine/berth/cmd/berth/whole"
)

func main() { client.Main(whole.New) }
