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
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the integration tests need root")
		return 1
	}
	dir, err := os.MkdirTemp("", "berth-integration")
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
