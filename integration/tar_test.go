package integration

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"
)

// tarNames lists what a tar stream holds.
func tarNames(t *testing.T, stream []byte) (names []string) {
	t.Helper()
	for in := tar.NewReader(bytes.NewReader(stream)); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}
