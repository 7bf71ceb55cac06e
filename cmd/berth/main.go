// Command berth is the client. It has the commands that are called all day, and executes
// berth-all beside it for the others: a program that is linked with all of them takes
// twice the processor time before its main begins.
package main

import (
	"os"

	"github.com/berth-engine/berth/cmd/berth/client"
	"github.com/berth-engine/berth/cmd/berth/early"
	"github.com/berth-engine/berth/cmd/berth/few"
	"github.com/berth-engine/berth/pkg/timerslack"
)

func main() {
	if verb, ok := early.Verb(os.Args); ok {
		_ = timerslack.SetMonitor(timerslack.Patient) // root's right; without it is as well
		client.Main(few.New(verb))
	}
	_, _ = os.Stderr.WriteString(early.Missing(os.Args[0]))
	os.Exit(1)
}
