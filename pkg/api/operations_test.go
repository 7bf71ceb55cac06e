package api_test

import (
	"testing"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/api/contract"
)

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
		table[contract.Operation{ID: o.ID, Method: o.Method, Path: o.Path}] = true
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
