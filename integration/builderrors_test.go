package integration

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// The place of a mistake is shown: file, line, and the line's text.
func TestBuildErrorsShowThePlace(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	r := d.Build("berth", nil, buildContext(t, "FROM "+image+"\n\nRUN echo fine\nRUN echo broken && false\n"))
	r.Fails(t, 1, ">>> RUN echo broken && false")
	tells(t, r, "Dockerfile:4", "exit code: 1")
	r = d.Build("berth", nil, buildContext(t, "FROM "+image+"\nCOPPY a b\n"))
	r.Fails(t, 1, ">>> COPPY a b")
	tells(t, r, "Dockerfile:2", "unknown instruction: COPPY (did you mean COPY?)")
	d.Build("berth", nil, "--target", "none", buildContext(t, "FROM "+image)).Fails(t, 1, `target stage "none" could not be found`)
	d.Build("berth", nil, "/nowhere/at/all").Fails(t, 1, `unable to prepare context: path "/nowhere/at/all" not found`)
	d.Build("berth", nil, "-f", "/nowhere/Dockerfile", t.TempDir()).Fails(t, 1, "failed to read dockerfile")
	d.Build("berth", nil, t.TempDir()).Fails(t, 1, "failed to read dockerfile: open Dockerfile: no such file or directory")
	d.Build("berth", strings.NewReader("\x1f\x8bnot gzip at all"), "-").Fails(t, 1, "")
	d.Build("berth", strings.NewReader(""), "-").Fails(t, 1, "nothing came from the standard input")
	d.Build("berth", nil, "-t", "Bad!", t.TempDir()).Fails(t, 1, `invalid tag "Bad!"`)
	d.Build("berth", nil, "--secret", "id=x,src=/nowhere", buildContext(t, "FROM "+image)).Fails(t, 1, "/nowhere")
	check := d.Build("berth", nil, "--check", buildContext(t, "from "+image+" as X\nRUN cd /tmp\n"))
	check.Fails(t, 1, "")
	tells(t, check, "StageNameCasing")
}

// The first builder's clients see the place, too, of what is wrong before a step is shown.
func TestBuildErrorsShowThePlaceToOldClients(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	for dockerfile, want := range map[string]string{
		"FROM " + image + "\nCOPPY a b\n":                     "dockerfile parse error on line 2: unknown instruction: COPPY (did you mean COPY?)",
		"FROM " + image + "\nRUN <<EOF\n":                     "dockerfile parse error on line 2: unterminated heredoc",
		"FROM " + image + " AS a\nCOPY --from=a /etc /e\n":    "Dockerfile:2: COPY --from=a /etc /e: failed to solve: circular dependency detected on stage: a",
		"FROM " + image + "\n\nRUN --mount=type=weird true\n": `Dockerfile:3: RUN --mount=type=weird true: failed to solve: unsupported mount type "weird"`,
		"FROM 127.0.0.1:1/x\n":                                "Dockerfile:1: FROM 127.0.0.1:1/x: failed to solve: ",
		"FROM " + image + "\nRUN true && exit 3\n":            "The command '/bin/sh -c true && exit 3' returned a non-zero code: 3",
	} {
		for _, builder := range []string{"classic", "py"} {
			r := d.Build(builder, nil, buildContext(t, dockerfile))
			if r.Code == 0 {
				t.Errorf("%s builds %q", builder, dockerfile)
			}
			tells(t, r, want)
		}
	}
}

// What is wrong with an archive is told, whoever reads it, and it leaves nothing.
func TestBuildOfABadArchive(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	archive := func(headers ...*tar.Header) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
		}
		return b.Bytes() // without an end, as an archive that was cut off
	}
	link := func(to string) []byte {
		return archive(&tar.Header{Name: "Dockerfile", Mode: 0o644}, &tar.Header{Name: "l", Typeflag: tar.TypeLink, Linkname: to})
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(bytes.Repeat([]byte("archive "), 10000)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body   []byte
		status int
		want   string
	}{
		"truncated gzip":   {packed.Bytes()[:packed.Len()/2], 400, "the build context: unexpected EOF"},
		"no archive":       {[]byte(strings.Repeat("no archive", 100)), 400, "Cannot locate specified Dockerfile: Dockerfile"},
		"nothing":          {nil, 400, "Cannot locate specified Dockerfile: Dockerfile"},
		"half a file":      {archive(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: 1 << 40}), 500, "unexpected EOF"},
		"a name above":     {archive(&tar.Header{Name: "../../x", Mode: 0o644}), 500, `invalid entry name "../../x"`},
		"a link above":     {link("../../etc/shadow"), 500, `invalid hardlink target "../../etc/shadow"`},
		"a link to none":   {link("/etc/shadow"), 500, "linkat etc/shadow l: no such file or directory"},
		"a link to itself": {link("l"), 500, "linkat l l: no such file or directory"},
	} {
		resp, err := d.HTTP().Post("http://berth/v1.51/build", "application/x-tar", bytes.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || !strings.Contains(strings.ReplaceAll(string(said), `\"`, `"`), c.want) {
			t.Errorf("%s: status %d, want %d with %q: %s: %v", name, resp.StatusCode, c.status, c.want, said, err)
		}
		for _, builder := range []string{"berth", "buildx"} {
			if r := d.Build(builder, bytes.NewReader(c.body), "-"); r.Code == 0 {
				t.Errorf("%s builds %s", builder, name)
			}
		}
	}
	await(t, "nothing is left", func() bool { return len(stepsLeft(d)) == 0 && len(sandboxesOf(d)) == 0 && len(d.TempFiles()) == 0 })
}
