package runtime

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/runtime/rootfs"
	"github.com/containerd/errdefs"
)

func TestOpenRootfs(t *testing.T) {
	b := newBox(t, bench.rt)
	if _, err := b.r.OpenRootfs(t.Context(), "no-such"); !errdefs.IsNotFound(err) {
		t.Errorf("of no container: %v", err)
	}
	before := mountTable(t)
	for _, state := range []string{"created", "running", "stopped"} {
		t.Run(state, func(t *testing.T) {
			if state == "running" {
				b.run("sh", "-c", "busybox rm /plain; echo written >/late; sleep 100")
				waitRead(t, b, "late", "written\n")
			}
			if state == "stopped" {
				if _, err := b.r.DeleteTask(t.Context(), b.id); err != nil {
					t.Fatal(err)
				}
			}
			root, err := b.r.OpenRootfs(t.Context(), b.id)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			if got, err := root.ReadFile("/etc-passwd", 100); err != nil || string(got) != "inside" {
				t.Errorf("a file of a layer: %q, %v", got, err)
			}
			if _, err := root.ReadFile(".dockerenv", 0); err != nil {
				t.Error(err)
			}
			_, err = root.Open("plain")
			if gone := errors.Is(err, fs.ErrNotExist); gone != (state != "created") {
				t.Errorf("a file that the container removes: %v", err)
			}
			if state != "running" && strings.Contains(mountTable(t), b.id) {
				t.Error("a mount shows")
			}
		})
	}
	if after := mountTable(t); after != before {
		t.Errorf("mounts before\n%s\nand after\n%s", before, after)
	}
}

// waitRead waits until the running container has written a file.
func waitRead(t *testing.T, b *box, name, want string) {
	t.Helper()
	await(t, func() bool {
		root, err := b.r.OpenRootfs(t.Context(), b.id)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readAndClose(root, name)
		return err == nil && string(got) == want
	})
}

func readAndClose(root *rootfs.Root, name string) ([]byte, error) {
	defer root.Close()
	return root.ReadFile(name, 1000)
}

// mountTable is ours of the mount table: other engines have theirs in it.
func mountTable(t *testing.T) string {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var ours strings.Builder
	for line := range strings.Lines(string(table)) {
		if strings.Contains(line, bench.dir) {
			ours.WriteString(line)
		}
	}
	return ours.String()
}
