package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// events writes those of a package from lines of SECOND ACTION TEST OUTPUT.
func events(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		f := append(strings.SplitN(l, " ", 4), "", "")
		b.WriteString(`{"Time":"2026-01-02T03:04:` + f[0] + `Z","Action":"` + f[1] + `","Package":"github.com/berth-engine/berth/p"`)
		if f[2] != "" {
			b.WriteString(`,"Test":"` + f[2] + `"`)
		}
		b.WriteString(`,"Output":"` + f[3] + `"}` + "\n")
	}
	return b.String()
}

var passing = events("00 start", "00 run TestA", "00 pause TestA", "01 run TestB", "03 pass TestB", "05 cont TestA",
	"05 run TestA/x", "05 run TestA/x/deep", "07 pass TestA/x/deep", "08 pass TestA/x", "08 run TestA/y", "09 pass TestA/y", "09 pass TestA",
	"09 run TestBig", "10 pass TestBig", "10 output  ok p", "10 pass")

func TestMarkdown(t *testing.T) {
	var log bytes.Buffer
	r, err := read(strings.NewReader(passing), &log)
	if err != nil || r.failed() || log.String() != "ok p" {
		t.Fatalf("%v, failed %v, log %q", err, r.failed(), log.String())
	}
	got, err := r.markdown("here", []string{"TestA", "TestB…"})
	want := "here\n\n| package | tests and parts passed | failed | time |\n|---|---:|---:|---:|\n| `p` | 6 | 0 | 10.0 s |\n" +
		"\n| test | time | its parts |\n|---|---:|---|\n" +
		"| `TestA` | 4.0 s | x 3.0 s, y 1.0 s |\n" +
		"| `TestB…` | 3.0 s | TestB 2.0 s, TestBig 1.0 s |\n"
	if err != nil || got != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
	if _, err := r.markdown("here", []string{"TestA", "TestC"}); err == nil || !strings.Contains(err.Error(), "TestC") {
		t.Errorf("a test that did not run: %v", err)
	}
}

func TestFailures(t *testing.T) {
	for name, in := range map[string]string{
		"a part":      events("00 start", "00 run TestA", "00 run TestA/x", "01 output TestA/x oops", "01 fail TestA/x", "01 fail TestA", "01 fail"),
		"killed":      events("00 start", "00 run TestA", "01 run TestA/x oops"),
		"no compiler": `{"ImportPath":"p","Action":"build-output","Output":"oops"}` + "\n" + events("00 start", "00 fail"),
		"no events":   "oops\n" + events("00 start", "01 fail"),
	} {
		var log bytes.Buffer
		r, err := read(strings.NewReader(in), &log)
		if err != nil || !r.failed() {
			t.Errorf("%s: %v, or no failure", name, err)
		}
		if name != "killed" && !strings.Contains(log.String(), "oops") {
			t.Errorf("%s: the log has %q", name, log.String())
		}
		table, err := r.markdown("here", named("`TestA`")[:min(len(r.tests), 1)])
		if len(r.tests) > 0 && (err != nil || !strings.Contains(table, "| `p` | 0 | 2 |") || !strings.Contains(table, "FAILED")) {
			t.Errorf("%s: %v, table\n%s", name, err, table)
		}
	}
	if r, err := read(strings.NewReader(""), &bytes.Buffer{}); err != nil || !r.failed() {
		t.Errorf("a run of nothing is no failure: %v", err)
	}
}

func TestNamed(t *testing.T) {
	got := named("`TestA`, `TestB/v1`, `v2`, `TestA/x`, TestC, `TestBuild…` of `make test`, `testdata`")
	if want := []string{"TestA", "TestB", "TestBuild…"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
