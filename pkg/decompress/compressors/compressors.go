// Package compressors gives tests what the usual programs make of data.
package compressors

import (
	"bytes"
	"os/exec"
	"testing"
)

// Pipe is what a program (gzip, bzip2, xz, zstd, …) makes of data.
func Pipe(t testing.TB, data []byte, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s (hack/deps test): %v", program, err)
	}
	return out
}
