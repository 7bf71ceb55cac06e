package decompress_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/berth-engine/berth/pkg/decompress"
)

func TestStored(t *testing.T) {
	for _, want := range []string{"", "x", strings.Repeat("0123456789", 100_000)} {
		s := decompress.Stored(strings.NewReader(want))
		plain, err := decompress.Open(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(plain)
		if err != nil || !bytes.Equal(got, []byte(want)) {
			t.Errorf("%d bytes come out as %d: %v", len(want), len(got), err)
		}
		if err := errors.Join(plain.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}
	broken := errors.New("broken")
	if _, err := io.ReadAll(decompress.Stored(iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("the reader's error is %v", err)
	}
	s := decompress.Stored(strings.NewReader(strings.Repeat("x", 1<<20)))
	if err := s.Close(); err != nil { // before it was read
		t.Error(err)
	}
}
