package classic

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestContextIsBounded(t *testing.T) {
	if b, err := io.ReadAll(Bound(strings.NewReader("12345"), 5)); err != nil || string(b) != "12345" {
		t.Errorf("%q, %v", b, err)
	}
	_, err := io.ReadAll(Bound(strings.NewReader("123456"), 5))
	if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "the build context is larger than 5 bytes") {
		t.Errorf("one byte more: %v", err)
	}
}

// An ID belongs to one build at a time, and ends that one.
func TestCancelByID(t *testing.T) {
	b := New(nil, 1)
	ended := false
	if err := b.register("x", func() { ended = true }); err != nil {
		t.Fatal(err)
	}
	if err := b.register("x", func() {}); !errdefs.IsConflict(err) {
		t.Errorf("the same ID: %v", err)
	}
	if err := errors.Join(b.Cancel("x"), b.Cancel("nobody")); err != nil || !ended {
		t.Errorf("ended %v: %v", ended, err)
	}
	b.forget("x")
	if err := b.register("x", func() {}); err != nil {
		t.Errorf("an ID of before: %v", err)
	}
	if err := b.Cancel(""); !errdefs.IsInvalidArgument(err) {
		t.Errorf("no ID: %v", err)
	}
}
