package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

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
