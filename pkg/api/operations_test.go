package api_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/api/contract"
	"github.com/berth-engine/berth/pkg/version"
)

//go:generate go test -run TestDocument . -update

var update = flag.Bool("update", false, "rewrite docs/api.md")

// Every operation of swagger.yaml is in the table, and so gets an answer:
// from its route, or 501.
func TestOperationsAreThoseOfTheSchema(t *testing.T) {
	v, err := contract.New()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := v.Operations()
	if err != nil {
		t.Fatal(err)
	}
	table := map[contract.Operation]bool{}
	for _, o := range api.Operations {
		table[contract.Operation(o)] = true
	}
	for _, o := range schema {
		if !table[o] {
			t.Errorf("%v is in swagger.yaml and not in the table", o)
		}
		delete(table, o)
	}
	for o := range table {
		t.Errorf("%v is in the table and not in swagger.yaml", o)
	}
}

// docs/api.md tells users which operations are served.
func TestDocument(t *testing.T) {
	const file = "../../docs/api.md"
	s := newServer(t, newFakes().routes())
	for _, o := range api.Operations {
		if !s.Serves(o.ID) && s.Declines(o.ID) == "" {
			t.Errorf("%s is neither served nor declined", o.ID)
		}
	}
	want := document(s)
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

func document(s *api.Server) []byte {
	var served, declined, own bytes.Buffer
	for _, o := range api.Own {
		fmt.Fprintf(&own, "| %s | `%s %s` |\n", o.ID, o.Method, o.Path)
	}
	n := 0
	for _, o := range api.Operations {
		row := fmt.Sprintf("| %s | `%s %s` |\n", o.ID, o.Method, o.Path)
		switch why := s.Declines(o.ID); {
		case why != "":
			fmt.Fprintf(&declined, "| %s | `%s %s` | %s |\n", o.ID, o.Method, o.Path, why)
		case s.Serves(o.ID):
			n++
			served.WriteString(row)
		}
	}
	return fmt.Appendf(nil, `# The API

Berth speaks the Docker Engine API, versions %s to %s. A client names the version
it speaks in the path (`+"`/v1.44/info`"+`); without one it gets the newest. Each version
is answered in the shape that Docker gives it.

Every operation of Docker's schema is either served or declined with a reason.

This page is generated (`+"`go generate ./pkg/api`"+`).

## Served: %d of %d

| operation | request |
|---|---|
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
%s`, version.MinAPI, version.MaxAPI, n, len(api.Operations), served.Bytes(), declined.Bytes(), own.Bytes())
}
