// Package clients drives berthd by the programs that people have, unmodified: both
// generations of docker-compose with real stacks, testcontainers, docker's client
// through ssh and TLS, and a program that knows only the socket.
package clients

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
)

// sample is the archive of the image that most tests run, and image its name.
var sample string

const image = "berth-test:latest"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the integration tests need root")
		return 1
	}
	dir, err := os.MkdirTemp("", "berth-clients")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if sample, err = harness.Sample(dir, image); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// start runs a daemon that has the sample image.
func start(t *testing.T, o harness.Options) *harness.Daemon {
	t.Helper()
	d := harness.Start(t, o)
	d.Berth("load", "-q", "-i", sample).OK(t)
	return d
}

// await polls what has no event to wait for from outside.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(harness.Patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not seen: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
