package api_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/api/contract"
	"github.com/berth-engine/berth/pkg/version"
)

//go:generate go test -run TestDocument . -update

var update = flag.Bool("update", false, "rewrite docs/api.md")

// docs/api.md tells users which operations are served.
func TestDocument(t *testing.T) {
	const file = "../../docs/api.md"
	s := newServer(t, newFakes().routes())
	for _, o := range api.Operations {
		if !s.Serves(o.ID) && s.Declines(o.ID) == "" {
			t.Errorf("%s is neither served nor declined", o.ID)
		}
	}
	want := document(t, s)
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s is out of date: run go generate ./pkg/api", file)
	}
}

func document(t *testing.T, s *api.Server) []byte {
	t.Helper()
	var served, declined, own bytes.Buffer
	fields := readFields(t)
	for _, o := range api.Own {
		fmt.Fprintf(&own, "| %s | `%s %s` |\n", o.ID, o.Method, o.Path)
	}
	n := 0
	for _, o := range api.Operations {
		switch why := s.Declines(o.ID); {
		case why != "":
			fmt.Fprintf(&declined, "| %s | `%s %s` | %s |\n", o.ID, o.Method, o.Path, why)
		case s.Serves(o.ID):
			n++
			fmt.Fprintf(&served, "| %s | `%s %s` | %s |\n", o.ID, o.Method, o.Path, fields.row(o.ID))
		}
	}
	return fmt.Appendf(nil, `# The API

Berth speaks the Docker Engine API, versions %s to %s. A client names the version
it speaks in the path (`+"`/v1.44/info`"+`); without one it gets the newest. Each version
is answered in the shape that Docker gives it.

Every operation of Docker's schema is either served or declined with a reason.

This page is generated (`+"`go generate ./pkg/api`"+`).

## Served: %d of %d

What of the schema a request may carry and an answer may tell: the parameters of the
query and the headers by name, and of the fields of bodies how many are served.

| operation | request | query, headers | body | answer |
|---|---|---|---|---|
%s
## Not served

Requests may carry these, and nothing follows from it but what is said here; answers
leave them out.

| | of | fields | why |
|---|---|---|---|
%s
## Declined

Answered with the status and words that Docker has for it.

| operation | request | why |
|---|---|---|
%s
## Berth's own

Docker has none of these; they are the same in every version.
[volumes.md](volumes.md) has their parameters.

| operation | request |
|---|---|
%s`, version.MinAPI, version.MaxAPI, n, len(api.Operations), served.Bytes(), fields.exceptions(), declined.Bytes(), own.Bytes())
}

// fieldTable is what of the schema is served.
type fieldTable struct {
	t      *testing.T
	v      *contract.Validator
	listed contract.Exceptions
	// What each exception stands for: the operations and fields it was needed for.
	operations, fields map[*contract.Exception]map[string]bool
}

func readFields(t *testing.T) *fieldTable {
	t.Helper()
	v, err := contract.New()
	if err != nil {
		t.Fatal(err)
	}
	listed, err := contract.ReadExceptions()
	if err != nil {
		t.Fatal(err)
	}
	return &fieldTable{t, v, listed, map[*contract.Exception]map[string]bool{}, map[*contract.Exception]map[string]bool{}}
}

// row gives the cells of an operation.
func (f *fieldTable) row(operation string) string {
	f.t.Helper()
	inputs, err := f.v.Inputs(operation)
	if err != nil {
		f.t.Fatal(err)
	}
	var names []string
	bodies, served := 0, 0
	for _, in := range inputs {
		ok := f.serves(in.Kind, operation, in.Name)
		switch {
		case in.Kind == contract.Body && ok:
			served++
			bodies++
		case in.Kind == contract.Body:
			bodies++
		case ok:
			names = append(names, "`"+in.Name+"`")
		}
	}
	answers, err := f.v.Fields(operation)
	if err != nil {
		f.t.Fatal(err)
	}
	told := 0
	for _, name := range answers {
		if f.serves(contract.Answer, operation, name) {
			told++
		}
	}
	return strings.Join(names, " ") + " | " + of(served, bodies) + " | " + of(told, len(answers))
}

func of(n, all int) string {
	if all == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d", n, all)
}

func (f *fieldTable) serves(kind, operation, field string) bool {
	e := f.listed.Find(kind, operation, field)
	if e == nil {
		return true
	}
	if f.operations[e] == nil {
		f.operations[e], f.fields[e] = map[string]bool{}, map[string]bool{}
	}
	f.operations[e][operation], f.fields[e][field] = true, true
	return false
}

// shown bounds how many fields a row names.
const shown = 6

// exceptions are the rows of what is not served, in the order of exceptions.txt.
func (f *fieldTable) exceptions() []byte {
	var out bytes.Buffer
	for _, e := range f.listed {
		if f.operations[e] == nil {
			continue
		}
		names := slices.Sorted(maps.Keys(f.fields[e]))
		more := ""
		if n := len(names) - shown; n > 0 {
			names, more = names[:shown], fmt.Sprintf(" and %d more", n)
		}
		fmt.Fprintf(&out, "| %s | %s | `%s`%s | %s |\n", e.Kind, strings.Join(slices.Sorted(maps.Keys(f.operations[e])), " "), strings.Join(names, "` `"), more, e.Reason)
	}
	return out.Bytes()
}
