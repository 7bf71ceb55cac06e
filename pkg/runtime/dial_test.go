package runtime

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func TestAwaitSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.sock")
	found := make(chan error, 1)
	go func() { found <- awaitSocket(t.Context(), path) }()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := <-found; err != nil {
		t.Error(err)
	}
}

func TestDialGivesUp(t *testing.T) {
	nobody := filepath.Join(t.TempDir(), "nobody.sock")
	_, _, err := dial(t.Context(), Config{Address: nobody, Namespace: "test", Patience: time.Millisecond})
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), nobody) {
		t.Errorf("%v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := dial(ended, Config{Address: nobody, Namespace: "test"}); !errdefs.IsUnavailable(err) {
		t.Errorf("the context has ended: %v", err)
	}
	// One that listens and never answers.
	mute := filepath.Join(t.TempDir(), "mute.sock")
	l, err := net.Listen("unix", mute)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, _, err := dial(t.Context(), Config{Address: mute, Namespace: "test", Patience: 50 * time.Millisecond}); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("%v", err)
	}
}
