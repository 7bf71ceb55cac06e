package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// event is one of `go test -json`: `go doc test2json`.
type event struct {
	Time    time.Time
	Action  string // start, run, pause, cont, output, pass, fail, skip
	Package string
	Test    string // "" for the package's own
	Output  string
}

// run is what is known of a run.
type run struct {
	packages []*result
	tests    []*result // as they began, subtests too
	open     map[string]*result
}

// result is that of a package or a test.
type result struct {
	pkg, name string
	began     time.Time // or went on, after it had waited for its turn
	took      time.Duration
	verdict   string // "" while it runs, then pass, fail or skip
	output    bytes.Buffer
}

// read reads a run to its end, and shows on log how each package ended, what fails,
// and what is no event.
func read(in io.Reader, log io.Writer) (*run, error) {
	r := &run{open: map[string]*result{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil && err != io.EOF {
			return nil, err
		}
		var e event
		switch {
		case json.Unmarshal(line, &e) != nil:
			_, _ = log.Write(line)
		case e.Package == "": // of the compiler
			_, _ = io.WriteString(log, e.Output)
		default:
			r.take(e, log)
		}
		if err == io.EOF {
			return r, nil
		}
	}
}

func (r *run) take(e event, log io.Writer) {
	key := e.Package + " " + e.Test
	t := r.open[key]
	if t == nil {
		t = &result{pkg: e.Package, name: e.Test, began: e.Time}
		r.open[key] = t
		if e.Test == "" {
			r.packages = append(r.packages, t)
		} else {
			r.tests = append(r.tests, t)
		}
	}
	switch e.Action {
	case "cont":
		t.began = e.Time
	case "output":
		t.output.WriteString(e.Output)
	case "pass", "fail", "skip":
		t.verdict, t.took = e.Action, e.Time.Sub(t.began)
		if e.Action == "fail" || e.Test == "" {
			_, _ = log.Write(t.output.Bytes())
		}
		t.output = bytes.Buffer{}
	}
}

func (r *run) failed() bool {
	bad := func(t *result) bool { return t.verdict != "pass" && t.verdict != "skip" }
	return len(r.packages) == 0 || slices.ContainsFunc(r.packages, bad) || slices.ContainsFunc(r.tests, bad)
}

var backquoted = regexp.MustCompile("`(Test\\w+…?)(?:/[^`]*)?`")

// named are the tests that a document names, each once.
func named(document string) (names []string) {
	for _, m := range backquoted.FindAllStringSubmatch(document, -1) {
		if !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	return names
}

// markdown writes a table of packages, and one of the tests that are named.
func (r *run) markdown(about string, names []string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n| package | tests and parts passed | failed | time |\n|---|---:|---:|---:|\n", about)
	for _, p := range r.packages {
		passed, failed := 0, 0
		for _, t := range r.tests {
			switch {
			case t.pkg != p.pkg || t.verdict == "skip":
			case t.verdict == "pass":
				passed++
			default: // also what did not end
				failed++
			}
		}
		if passed+failed > 0 {
			fmt.Fprintf(&b, "| `%s` | %d | %d | %s |\n", short(p.pkg), passed, failed, seconds(p.took))
		}
	}
	b.WriteString("\n| test | time | its parts |\n|---|---:|---|\n")
	for _, name := range names {
		line := r.line(name)
		if line == "" {
			return "", fmt.Errorf("the document names %s, which did not run", name)
		}
		b.WriteString(line)
	}
	return b.String(), nil
}

// line is the row of the tests that a name stands for.
func (r *run) line(name string) string {
	prefix, several := strings.CutSuffix(name, "…")
	var took time.Duration
	var parts []string
	found := false
	for _, t := range r.tests {
		top, part, sub := strings.Cut(t.name, "/")
		if top != prefix && !(several && strings.HasPrefix(top, prefix)) {
			continue
		}
		verdict := seconds(t.took)
		if t.verdict != "pass" {
			verdict = "FAILED"
		}
		switch {
		case !sub:
			found, took = true, took+t.took
			if several || t.verdict != "pass" {
				parts = append(parts, t.name+" "+verdict)
			}
		case !several && !strings.Contains(part, "/"):
			parts = append(parts, part+" "+verdict)
		}
	}
	if !found {
		return ""
	}
	const most = 8 // of more, nobody reads each
	if len(parts) > most {
		parts = []string{fmt.Sprintf("%d, the first of them %s", len(parts), strings.Join(parts[:most/2], ", "))}
	}
	return fmt.Sprintf("| `%s` | %s | %s |\n", name, seconds(took), strings.Join(parts, ", "))
}

// short is a package's folder in this module.
func short(pkg string) string {
	return strings.TrimPrefix(pkg, "github.com/berth-engine/berth/")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
