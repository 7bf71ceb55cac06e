package classic

import (
	"errors"
	"strings"
	"testing"
	"time"

	bkclient "github.com/moby/buildkit/client"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/opencontainers/go-digest"
)

// script feeds progress with news, one a line: "VERTEX NAME", "VERTEX started",
// "VERTEX done", "VERTEX cached", "VERTEX failed", "VERTEX > output".
func script(t *testing.T, p *progress, lines string) {
	t.Helper()
	now := time.Now()
	vertexes := map[string]*bkclient.Vertex{}
	for line := range strings.Lines(lines) {
		id, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		v := vertexes[id]
		if v == nil {
			v = &bkclient.Vertex{Digest: digest.FromString(id), Name: what}
			vertexes[id] = v
		}
		s := &bkclient.SolveStatus{}
		switch {
		case what == "started":
			v.Started = &now
		case what == "done":
			v.Completed = &now
		case what == "cached":
			v.Started, v.Completed, v.Cached = &now, &now, true
		case what == "failed":
			v.Completed, v.Error = &now, "it failed"
		case strings.HasPrefix(what, "> "):
			s.Logs = []*bkclient.VertexLog{{Vertex: v.Digest, Data: []byte(what[2:] + "\n")}}
		}
		c := *v
		s.Vertexes = []*bkclient.Vertex{&c}
		if err := p.update(s); err != nil {
			t.Fatal(err)
		}
	}
}

// told is a progress and what it says, with IDs of steps as "ID".
func told(t *testing.T, dockerfile string) (*progress, func() string) {
	t.Helper()
	steps, err := plan([]byte(dockerfile), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	p := newProgress(steps, func(s string) error {
		out.WriteString(s)
		return nil
	})
	return p, func() string {
		var lines []string
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if id, ok := strings.CutPrefix(line, " ---> "); ok && len(id) == 12 && id != "aaaaaaaaaaaa" {
				line = " ---> ID"
			}
			for _, prefix := range []string{" ---> Running in ", " ---> Removed intermediate container "} {
				if strings.HasPrefix(line, prefix) {
					line = prefix + "ID"
				}
			}
			lines = append(lines, line)
		}
		return strings.Join(lines, "\n")
	}
}

func TestSideBySideIsShownInOrder(t *testing.T) {
	p, out := told(t, "FROM a AS one\nRUN first\nFROM b\nENV x=y\nRUN second\nCOPY --from=one /a /b\n")
	script(t, p, `
		f1 [one 1/2] FROM docker.io/library/a
		f2 [stage-1 1/3] FROM docker.io/library/b
		f2 cached
		r2 [stage-1 2/3] RUN second
		r2 started
		r2 > of the second
		r2 done
		f1 cached
		r1 [one 2/2] RUN first
		r1 started
		r1 > of the first
	`)
	begin := `Step 1/6 : FROM a AS one
 ---> ID
Step 2/6 : RUN first
 ---> Running in ID
of the first`
	if got := out(); got != begin {
		t.Errorf("while the first runs it says\n%s\nwant\n%s", got, begin)
	}
	script(t, p, `
		r1 [one 2/2] RUN first
		r1 done
		c [stage-1 3/3] COPY --from=one /a /b
		c done
	`)
	if err := p.end("sha256:" + strings.Repeat("a", 64)); err != nil {
		t.Fatal(err)
	}
	want := begin + `
 ---> Removed intermediate container ID
 ---> ID
Step 3/6 : FROM b
 ---> ID
Step 4/6 : ENV x=y
 ---> ID
Step 5/6 : RUN second
 ---> Running in ID
of the second
 ---> Removed intermediate container ID
 ---> ID
Step 6/6 : COPY --from=one /a /b
 ---> aaaaaaaaaaaa`
	if got := out(); got != want {
		t.Errorf("it says\n%s\nwant\n%s", got, want)
	}
}

func TestCachedAndWithoutVertex(t *testing.T) {
	p, out := told(t, "FROM scratch\nWORKDIR /\nRUN $X\nRUN $Y\nCMD x\n")
	script(t, p, `
		a [2/4] RUN of-x
		a cached
		b [3/4] RUN of-y
		b cached
	`)
	if err := p.end("sha256:" + strings.Repeat("a", 64)); err != nil {
		t.Fatal(err)
	}
	const want = `Step 1/5 : FROM scratch
 ---> ID
Step 2/5 : WORKDIR /
 ---> ID
Step 3/5 : RUN $X
 ---> Using cache
 ---> ID
Step 4/5 : RUN $Y
 ---> Using cache
 ---> ID
Step 5/5 : CMD x
 ---> aaaaaaaaaaaa`
	if got := out(); got != want {
		t.Errorf("it says\n%s\nwant\n%s", got, want)
	}
}

func TestFailure(t *testing.T) {
	p, out := told(t, "FROM a AS slow\nRUN long\nFROM a\nRUN false\nRUN never\nCOPY --from=slow / /\n")
	script(t, p, `
		f [stage-1 1/4] FROM docker.io/library/a
		f cached
		l [slow 2/2] RUN long
		l started
		r [stage-1 2/4] RUN false
		r started
		r > its last words
		r failed
	`)
	failed := p.by[digest.FromString("r")]
	if err := p.fail(failed); err != nil {
		t.Fatal(err)
	}
	if got := out(); !strings.HasSuffix(got, "Step 4/6 : RUN false\n ---> Running in ID\nits last words") {
		t.Errorf("it says\n%s", got)
	}
	err := explain(&gatewayapi.ExitError{ExitCode: 3}, failed)
	var coded interface{ Code() int }
	if err.Error() != "The command '/bin/sh -c false' returned a non-zero code: 3" || !errors.As(err, &coded) || coded.Code() != 3 {
		t.Errorf("the error is %v", err)
	}
}

func TestExplainMissingFile(t *testing.T) {
	st := &step{instruction: instruction{keyword: "ADD"}}
	err := explain(errors.New(`failed to solve: failed to compute cache key: failed to calculate checksum of ref a::b: "/x/y": not found`), st)
	if want := "ADD failed: file not found in build context or excluded by .dockerignore: stat x/y: file does not exist"; err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	other := errors.New("something else")
	if got := explain(other, st); !errors.Is(got, other) || got.Error() != other.Error() {
		t.Errorf("%v", got)
	}
}

// What a step writes before its turn is held back, and not without bound.
func TestHeldOutputIsBounded(t *testing.T) {
	p, _ := told(t, "FROM a AS one\nRUN first\nFROM a\nRUN second\nCOPY --from=one / /\n")
	script(t, p, "s [stage-1 2/3] RUN second\ns started")
	for range 5 {
		s := &bkclient.SolveStatus{Logs: []*bkclient.VertexLog{{Vertex: digest.FromString("s"), Data: make([]byte, 1<<20)}}}
		if err := p.update(s); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.by[digest.FromString("s")].held); n != maxHeld {
		t.Errorf("%d bytes are held, want %d", n, maxHeld)
	}
}
