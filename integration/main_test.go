// Package integration tests Berth through its socket with real clients: our
// CLI, an unmodified docker CLI and raw HTTP whose every answer is held against
// the API's schema.
package integration

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// sample is the archive of the image that most tests run.
var sample string

// image is its name.
const image = "berth-test:latest"

func TestMain(m *testing.M) {
	if os.Getenv(probeEnv) != "" {
		if err := probe(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(harness.Main(m, &sample, image))
}

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

// clients are the command lines that every script is run through.
func clients(t *testing.T) map[string]string {
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Fatalf("docker CLI (hack/deps test): %v", err)
	}
	return map[string]string{"berth": harness.BerthCLI(), "docker": docker}
}

// runner runs a client's command.
type runner func(args ...string) harness.Result

// eachClient runs a test for each client, beside one another, each with a daemon of its own.
func eachClient(t *testing.T, test func(t *testing.T, d *harness.Daemon, run runner)) {
	for name, client := range clients(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := start(t, harness.Options{})
			test(t, d, func(args ...string) harness.Result { return d.Client(client, nil, args...) })
		})
	}
}
