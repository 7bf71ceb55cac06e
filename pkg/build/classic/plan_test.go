package classic

import (
	"slices"
	"strings"
	"testing"
)

const several = `# a comment
ARG BASE=alpine
FROM ${BASE} AS Tools
RUN make \
    all
FROM scratch AS unused
COPY x /
FROM tools
ENV a=b
SHELL ["/bin/bash", "-ec"]
RUN --mount=type=bind,from=mounted,target=/m test
COPY --from=tools /a /b
WORKDIR /w
FROM busybox AS mounted
RUN ["true", "x"]
FROM tools AS last
RUN --mount=from=mounted,target=/m one
CMD ["x"]
`

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		name, dockerfile, target string
		want                     []string
	}{
		{"one stage", "FROM a\nRUN b\nLABEL x=y", "", []string{"|FROM|FROM a", "|RUN|RUN b", "|LABEL|LABEL x=y"}},
		{"only what the target needs", several, "", []string{
			"|ARG|ARG BASE=alpine",
			"tools|FROM|FROM ${BASE} AS Tools", "tools|RUN|RUN make     all",
			"mounted|FROM|FROM busybox AS mounted", `mounted|RUN|RUN ["true", "x"]`,
			"last|FROM|FROM tools AS last", "last|RUN|RUN --mount=from=mounted,target=/m one", `last|CMD|CMD ["x"]`,
		}},
		{"a target by number", several, "1", []string{"|ARG|ARG BASE=alpine", "unused|FROM|FROM scratch AS unused", "unused|COPY|COPY x /"}},
		{"a target by name in other letters", several, "TOOLS", []string{"|ARG|ARG BASE=alpine", "tools|FROM|FROM ${BASE} AS Tools", "tools|RUN|RUN make     all"}},
	} {
		steps, err := plan([]byte(c.dockerfile), c.target, nil)
		var got []string
		for _, s := range steps {
			got = append(got, s.stage+"|"+s.keyword+"|"+s.text)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestPlanKnowsTheCommand(t *testing.T) {
	steps, err := plan([]byte("FROM a\nRUN one  two\nRUN [\"x\", \"y\"]\nSHELL [\"/bin/bash\",\"-ec\"]\nRUN three\n"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range steps {
		if s.keyword == "RUN" {
			got = append(got, s.command)
		}
	}
	if want := []string{"/bin/sh -c one  two", "x y", "/bin/bash -ec three"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPlanRefuses(t *testing.T) {
	for dockerfile, want := range map[string]string{
		"FROM a\nRUNN b\n":       "dockerfile parse error on line 2: unknown instruction: RUNN",
		"":                       "file with no instructions",
		"RUN a\n":                "no build stage in current context",
		"FROM a\nCOPY onlyone":   "COPY requires at least two arguments",
		"FROM a\nRUN <<EOF\nx\n": "unterminated heredoc",
	} {
		if _, err := plan([]byte(dockerfile), "", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", dockerfile, err, want)
		}
	}
	if _, err := plan([]byte("FROM a"), "b", nil); err == nil || !strings.Contains(err.Error(), `target stage "b" could not be found`) {
		t.Errorf("a target that is not there: %v", err)
	}
}

func TestVertex(t *testing.T) {
	for name, want := range map[string][3]string{
		"[2/3] RUN a b":                         {"", "RUN", "a b"},
		"[stage-1 10/12] COPY x /":              {"stage-1", "COPY", "x /"},
		"[linux/amd64 web  2/12] RUN x":         {"web", "RUN", "x"},
		"[linux/amd64->arm64 1/1] FROM d/l/x@y": {"", "FROM", "d/l/x@y"},
		"[1/2] ONBUILD RUN x":                   {"", "ONBUILD", "RUN x"},
		"[internal] load build context":         {},
		"[auth] a/b:pull token for registry":    {},
		"exporting to image":                    {},
		"https://github.com/a/b.git":            {},
		"[] x":                                  {},
	} {
		stage, keyword, text, ok := vertex(name)
		if got := [3]string{stage, keyword, text}; got != want || ok != (want != [3]string{}) {
			t.Errorf("%q: %q, %v, want %q", name, got, ok, want)
		}
	}
}

func FuzzPlan(f *testing.F) {
	f.Add([]byte(several), "last")
	f.Add([]byte("FROM a\nRUN <<E\nx\nE\n"), "")
	f.Fuzz(func(t *testing.T, dockerfile []byte, target string) {
		steps, err := plan(dockerfile, target, nil)
		if err == nil && len(steps) == 0 {
			t.Error("a Dockerfile without steps")
		}
	})
}
