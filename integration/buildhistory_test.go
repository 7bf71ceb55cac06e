package integration

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestBuildHistory: what buildx tells of builds of the past. open and import hand them to
// Docker Desktop, and nothing of that asks the engine; a trace is not recorded.
func TestBuildHistory(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	x := func(args ...string) harness.Result {
		t.Helper()
		return d.Buildx(nil, append([]string{"history"}, args...)...)
	}
	refs := func(args ...string) []string {
		t.Helper()
		all := strings.Fields(x(append([]string{"ls", "--format", "{{.Ref}}"}, args...)...).OK(t))
		for i, ref := range all {
			all[i] = ref[strings.LastIndex(ref, "/")+1:]
		}
		return all
	}
	d.Build("berth", nil, "-t", "one", buildContext(t, "FROM "+image+"\nRUN echo said by one\n")).OK(t)
	d.Build("buildx", nil, buildContext(t, "FROM "+image+"\nRUN echo said by two; exit 5\n")).Fails(t, 1, "exit code: 5")
	completed, failed := refs("--filter", "status=completed"), refs("--filter", "status=error")
	if len(completed) != 1 || len(failed) != 1 || len(refs()) != 2 {
		t.Fatalf("completed: %q, failed: %q, all: %q", completed, failed, refs())
	}
	tells(t, x("logs", completed[0]), "said by one")
	tells(t, x("logs", failed[0]), "said by two")
	tells(t, x("logs"), "said by two") // the last one
	tells(t, x("inspect", "--format", "{{.Status}}", completed[0]), "completed")
	tells(t, x("inspect", failed[0]), "exit code: 5")
	file := filepath.Join(t.TempDir(), "all.dockerbuild")
	x("export", "--all", "--finalize", "-o", file).OK(t)
	if n := exported(t, file); n == 0 {
		t.Error("export --all has nothing in it")
	}
	x("trace", completed[0]).Fails(t, 1, "is missing a trace")
	for _, verb := range []string{"logs", "inspect", "trace"} {
		if r := x(verb, "nobodysbuild"); r.Code == 0 {
			t.Errorf("%s of no build: %s", verb, r.Stdout)
		}
	}
	x("rm", failed[0]).OK(t)
	if left := refs(); len(left) != 1 || left[0] != completed[0] {
		t.Errorf("after rm: %q", left)
	}
	x("rm", "--all").OK(t)
	if left := refs(); len(left) != 0 {
		t.Errorf("after rm --all: %q", left)
	}
}

// exported counts the files of a bundle.
func exported(t *testing.T, file string) (n int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; n++ {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return n
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
