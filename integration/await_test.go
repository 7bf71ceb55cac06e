package integration

import (
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
)

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
