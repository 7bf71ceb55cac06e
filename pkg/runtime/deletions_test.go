package runtime

import (
	"os"
	"path/filepath"
	"testing"
)

// Deletions that a killed containerd began are finished in each namespace: other daemons
// have theirs in it, and cannot.
func TestFinishDeletions(t *testing.T) {
	dir := t.TempDir()
	c := Config{State: filepath.Join(dir, "state"), Root: filepath.Join(dir, "root"), Namespace: "berth"}
	if err := finishDeletions(c); err != nil {
		t.Fatalf("nothing there: %v", err)
	}
	for _, top := range []string{c.State, c.Root} {
		for _, ns := range []string{"berth", "guest"} {
			for _, id := range []string{"one", ".one", ".two"} {
				if err := os.MkdirAll(filepath.Join(top, taskPlugin, ns, id, "left"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := os.WriteFile(filepath.Join(top, taskPlugin, "file"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := finishDeletions(c); err != nil {
		t.Fatal(err)
	}
	for _, top := range []string{c.State, c.Root} {
		for _, ns := range []string{"berth", "guest"} {
			all, err := os.ReadDir(filepath.Join(top, taskPlugin, ns))
			if err != nil || len(all) != 1 || all[0].Name() != "one" {
				t.Errorf("%s of %s: %v, %v", top, ns, all, err)
			}
		}
	}
}
