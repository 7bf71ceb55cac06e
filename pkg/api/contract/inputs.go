package contract

import (
	"cmp"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// Input is something that a request may carry.
type Input struct {
	Kind   string // Query, Header or Body
	Name   string // of a body's field as Fields gives it
	Schema *openapi3.Schema
}

// Inputs lists what the newest schema has for an operation's request: parameters of
// the query, headers, and the fields of a body that is JSON, sorted by kind and name.
func (v *Validator) Inputs(operationID string) ([]Input, error) {
	s, err := v.spec("")
	if err != nil {
		return nil, err
	}
	var all []Input
	for _, o := range s.operations {
		if o.id != operationID {
			continue
		}
		for _, p := range o.parameters {
			if p.In == openapi3.ParameterInQuery || p.In == openapi3.ParameterInHeader {
				all = append(all, Input{p.In, p.Name, p.Schema.Value})
			}
		}
		if o.body != nil {
			fields := map[string]*openapi3.Schema{}
			leaves(o.body, "", nil, fields)
			delete(fields, "") // a body that is one plain value, or no JSON
			for name, schema := range fields {
				all = append(all, Input{Body, name, schema})
			}
		}
	}
	slices.SortFunc(all, func(a, b Input) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return all, nil
}
