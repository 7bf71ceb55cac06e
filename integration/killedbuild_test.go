package integration

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// What a build was writing when the daemon was killed goes with the next collection: the
// root of a step, and the blob that a layer was packed into. What the cache has stays.
func TestKilledBuildLeavesNothing(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	before, size := heldBy(t, d), taken(t, d)
	for what, c := range map[string]struct {
		step  string
		kept  int64 // bytes of the cache
		begun func(out string) bool
	}{
		"step": {"head -c 50000000 /dev/zero >/large; echo begun; exec sleep 4245", 0, func(out string) bool { return strings.Contains(out, "begun\n") }},
		"blob": {"head -c 100000000 /dev/urandom >/random", 100_000_000, func(string) bool { return heldBy(t, d).ingests > 0 }},
	} {
		out := &syncBuffer{}
		cmd := builderCommand(t, d, "berth", buildContext(t, "FROM "+image+"\nRUN "+c.step+"\n"))
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, what+" is written", func() bool { return c.begun(out.String()) })
		d.Kill()
		if err := cmd.Wait(); err == nil {
			t.Errorf("%s: the build succeeded", what)
		}
		d.Run()
		await(t, what+" is given back", func() bool {
			d.Berth("image", "prune", "-f").OK(t)
			return heldBy(t, d).ingests == 0 && taken(t, d) < size+c.kept+10_000_000
		})
		d.Berth("builder", "prune", "-af").OK(t)
		if after := heldBy(t, d); after != before {
			t.Errorf("%s: before the build: %+v\nafter:            %+v", what, before, after)
		}
	}
}

// taken is what a daemon's content and snapshots take of the disk, in bytes.
func taken(t *testing.T, d *harness.Daemon) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(d.Data(), "containerd"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return ignoreGone(err)
		}
		info, err := e.Info()
		if err == nil {
			bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return ignoreGone(err)
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
