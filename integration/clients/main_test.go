// Package clients drives berthd by the programs that people have, unmodified: both
// generations of docker-compose with real stacks, testcontainers, docker's client
// through ssh and TLS, and a program that knows only the socket.
package clients

import (
	"os"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// sample is the archive of the image that most tests run, and image its name.
var sample string

const image = "berth-test:latest"

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &sample, image)) }

// start runs a daemon that has the sample image.
func start(t *testing.T, o harness.Options) *harness.Daemon {
	t.Helper()
	return harness.StartWith(t, o, sample)
}

// await polls what has no event to wait for from outside.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	harness.Await(t, what, ok)
}
