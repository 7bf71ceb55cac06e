package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Main runs a package's tests, which share the archive of a sample image of that name:
// its path is in archive meanwhile. What it gives is for os.Exit.
func Main(m *testing.M, archive *string, image string) int {
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
	if *archive, err = Sample(dir, image); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// StartWith runs a daemon that has the image of an archive.
func StartWith(t *testing.T, o Options, archive string) *Daemon {
	t.Helper()
	d := Start(t, o)
	d.Berth("load", "-q", "-i", archive).OK(t)
	return d
}

// Await polls what has no event to wait for from outside.
func Await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not seen: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Sample writes the archive of an image of the machine's BusyBox into dir and gives
// its path.
func Sample(dir, name string) (string, error) {
	archive := filepath.Join(dir, "sample.tar")
	build := exec.Command(filepath.Join(Bin(), "sampleimage"), "-o", archive, "-t", name)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("sample image (make build): %w", err)
	}
	return archive, nil
}
