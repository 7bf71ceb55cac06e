package contract

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Fields lists the fields that the newest schema has for an operation's success,
// sorted: "HostConfig.Memory", "Mounts[].Type" in a list, "Networks.*.Gateway" in
// an object with keys of its own. Only what holds no further fields is listed.
// An operation without a described body has none.
func (v *Validator) Fields(operationID string) ([]string, error) {
	s, err := v.spec("")
	if err != nil {
		return nil, err
	}
	all := map[string]*openapi3.Schema{}
	for _, o := range s.operations {
		if o.id != operationID {
			continue
		}
		for status, r := range o.responses {
			if n, err := strconv.Atoi(status); err == nil && n < 300 && r.schema != nil {
				leaves(r.schema, "", nil, all)
			}
		}
	}
	delete(all, "") // a body that is one plain value
	return slices.Sorted(maps.Keys(all)), nil
}

// leaves adds the fields below a schema, with theirs. above are the schemas that it is inside
// of: one that holds itself (an OCI platform does not, a plugin's might) ends there.
func leaves(s *openapi3.Schema, path string, above []*openapi3.Schema, all map[string]*openapi3.Schema) {
	if slices.Contains(above, s) {
		all[path] = s
		return
	}
	above = append(slices.Clip(above), s)
	inner := false
	for name, p := range properties(s) {
		inner = true
		leaves(p, join(path, name), above, all)
	}
	switch {
	case s.Items != nil && s.Items.Value != nil:
		if below := nested(s.Items.Value); below {
			inner = true
			leaves(s.Items.Value, path+"[]", above, all)
		}
	case s.AdditionalProperties.Schema != nil && s.AdditionalProperties.Schema.Value != nil:
		if below := nested(s.AdditionalProperties.Schema.Value); below {
			inner = true
			leaves(s.AdditionalProperties.Schema.Value, join(path, "*"), above, all)
		}
	}
	if !inner {
		all[path] = s
	}
}

// properties are those of a schema and of all that it is made of.
func properties(s *openapi3.Schema) map[string]*openapi3.Schema {
	all := map[string]*openapi3.Schema{}
	for name, ref := range s.Properties {
		if ref.Value != nil {
			all[name] = ref.Value
		}
	}
	for _, part := range s.AllOf {
		if part.Value != nil {
			maps.Copy(all, properties(part.Value))
		}
	}
	return all
}

// nested says whether a value of the schema has fields.
func nested(s *openapi3.Schema) bool {
	if len(properties(s)) > 0 {
		return true
	}
	if s.Items != nil && s.Items.Value != nil {
		return nested(s.Items.Value)
	}
	more := s.AdditionalProperties.Schema
	return more != nil && more.Value != nil && nested(more.Value)
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// Seen lists the fields of Fields that an answer has had with a value that says
// something: neither null nor empty, zero or false.
func (v *Validator) Seen(operationID string) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Sorted(maps.Keys(v.seen[operationID]))
}

// note remembers what a body says, one value or many.
func (v *Validator) note(o *operation, a answer) {
	schema := o.responses[strconv.Itoa(a.status)].schema
	if schema == nil {
		return
	}
	dec := json.NewDecoder(strings.NewReader(strings.ReplaceAll(string(a.body), "\x1e", "")))
	for {
		var value any
		if dec.Decode(&value) != nil {
			return // the end, or what check complains about
		}
		v.mu.Lock()
		if v.seen[o.id] == nil {
			v.seen[o.id] = map[string]bool{}
		}
		record(schema, value, "", v.seen[o.id])
		v.mu.Unlock()
	}
}

// record walks a value as leaves walks its schema.
func record(s *openapi3.Schema, value any, path string, seen map[string]bool) {
	switch x := value.(type) {
	case map[string]any:
		known := properties(s)
		for name, e := range x {
			if p := known[name]; p != nil {
				record(p, e, join(path, name), seen)
			} else if more := s.AdditionalProperties.Schema; more != nil && more.Value != nil && nested(more.Value) {
				record(more.Value, e, join(path, "*"), seen)
			}
		}
		if len(known) == 0 && len(x) > 0 {
			seen[path] = true
		}
	case []any:
		for _, e := range x {
			if s.Items != nil && s.Items.Value != nil && nested(s.Items.Value) {
				record(s.Items.Value, e, path+"[]", seen)
			} else {
				seen[path] = true
			}
		}
	case nil:
	case string:
		seen[path] = seen[path] || x != ""
	case float64:
		seen[path] = seen[path] || x != 0
	case bool:
		seen[path] = seen[path] || x
	}
}
