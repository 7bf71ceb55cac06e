package api

import (
	"bytes"
	"encoding/json"
)

// Fields are JSON fields that older API versions had. A nested Fields is
// merged into the object of that name, which is made when absent.
type Fields map[string]any

// WithFields gives v, a value that encodes as a JSON object, the fields in
// extra that its encoding lacks; those that it has win.
func WithFields(v any, extra Fields) json.Marshaler { return withFields{v, extra} }

type withFields struct {
	base  any
	extra Fields
}

func (w withFields) MarshalJSON() ([]byte, error) {
	raw, err := encode(w.base)
	if err != nil {
		return nil, err
	}
	return mergeFields(raw, w.extra)
}

func mergeFields(raw []byte, extra Fields) ([]byte, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, err
	}
	if object == nil { // null
		object = map[string]json.RawMessage{}
	}
	for key, value := range extra {
		have, ok := object[key]
		nested, isNested := value.(Fields)
		var err error
		switch {
		case isNested && ok:
			object[key], err = mergeFields(have, nested)
		case isNested:
			object[key], err = mergeFields([]byte("{}"), nested)
		case !ok:
			object[key], err = encode(value)
		}
		if err != nil {
			return nil, err
		}
	}
	return encode(object)
}

// encode is json.Marshal without the escaping of <, > and &, which Docker
// does not do either.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}
