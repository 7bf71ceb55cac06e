package contract

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v3"
)

// spec is one version of the Docker Engine API.
type spec struct {
	operations []operation
	errorBody  *openapi3.Schema
}

// operation is an operation of it.
type operation struct {
	id, method string
	path       []string // segments; "{" begins a variable
	produces   []string // media types of a success
	parameters []*openapi3.Parameter
	body       *openapi3.Schema    // of the request; nil: there is none
	responses  map[string]response // by status
}

type response struct {
	schema  *openapi3.Schema // nil: no body is described
	headers []string
}

// moduleDir is where the module that holds the schemas lies.
func moduleDir() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/moby/api").Output()
	if err != nil {
		return "", fmt.Errorf("find github.com/moby/moby/api: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// schemaFile is the schema of a version, "" being the newest. Versions up to
// 1.24 have none that a machine can read.
func schemaFile(dir, version string) string {
	if version == "" {
		return filepath.Join(dir, "swagger.yaml")
	}
	return filepath.Join(dir, "docs", "v"+version+".yaml")
}

func load(file string, old bool) (*spec, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := yaml.Unmarshal(raw, &tree); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	asJSON, err := json.Marshal(mend(tree))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var v2 openapi2.T
	if err := json.Unmarshal(asJSON, &v2); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	v3, err := openapi2conv.ToV3(&v2)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return newSpec(v3, &v2, old), nil
}

// mend makes a tree of YAML one that JSON and the library take: keys are
// strings (statuses are numbers in YAML), and what only serves people goes.
func mend(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if k != "example" && k != "examples" && k != "x-go-type" {
				out[k] = mend(e)
			}
		}
		return out
	case map[any]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[fmt.Sprint(k)] = mend(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = mend(e)
		}
		return out
	}
	return v
}

func newSpec(v3 *openapi3.T, v2 *openapi2.T, old bool) *spec {
	s := &spec{}
	n := nulls{seen: map[*openapi3.Schema]bool{}, all: old}
	for _, ref := range v3.Components.Schemas {
		n.allow(ref)
	}
	correct(v3.Components.Schemas)
	if ref := v3.Components.Schemas["ErrorResponse"]; ref != nil {
		s.errorBody = ref.Value
	}
	for path, item := range v3.Paths.Map() {
		for method, op := range item.Operations() {
			o := operation{
				id: op.OperationID, method: method,
				path:      strings.Split(path, "/"),
				responses: map[string]response{},
			}
			for _, ref := range op.Parameters {
				o.parameters = append(o.parameters, ref.Value)
			}
			o.body = requestBody(op)
			o.produces = v2.Produces
			if p := v2.Paths[path].GetOperation(method).Produces; len(p) > 0 {
				o.produces = p
			}
			for status, ref := range op.Responses.Map() {
				o.responses[status] = newResponse(ref.Value, n)
			}
			correctOperation(o)
			s.operations = append(s.operations, o)
		}
	}
	return s
}

func requestBody(op *openapi3.Operation) *openapi3.Schema {
	if op.RequestBody == nil || op.RequestBody.Value == nil {
		return nil
	}
	for _, media := range op.RequestBody.Value.Content {
		if media.Schema != nil {
			return media.Schema.Value
		}
	}
	return nil
}

func newResponse(r *openapi3.Response, n nulls) response {
	var out response
	for name := range r.Headers {
		out.headers = append(out.headers, name)
	}
	for _, media := range r.Content {
		if media.Schema != nil {
			n.allow(media.Schema)
			out.schema = media.Schema.Value
		}
	}
	return out
}

// nulls marks what may be null. dockerd encodes Go's nil slices, maps and
// pointers as null, and its schema says so (x-nullable) in some places only:
// every list and object may be. Plain values must not be, unless the schema
// says so, or (all) it is one of the older ones, which are silent on it.
type nulls struct {
	seen map[*openapi3.Schema]bool
	all  bool
}

func (n nulls) allow(ref *openapi3.SchemaRef) {
	if ref == nil || ref.Value == nil || n.seen[ref.Value] {
		return
	}
	s := ref.Value
	n.seen[s] = true
	if n.all || s.Type.Includes("array") || s.Type.Includes("object") || len(s.Properties) > 0 || len(s.AllOf) > 0 || s.AdditionalProperties.Schema != nil {
		s.Nullable = true
	}
	for _, p := range s.Properties {
		n.allow(p)
	}
	for _, p := range s.AllOf {
		n.allow(p)
	}
	n.allow(s.Items)
	n.allow(s.AdditionalProperties.Schema)
}

// correct mends what the schemas say wrongly of dockerd.
func correct(schemas openapi3.Schemas) {
	for _, null := range []struct{ schema, property string }{
		{"Resources", "MemorySwappiness"}, // unless it was asked for
		{"Resources", "OomKillDisable"},
	} {
		if p := property(schemas, null.schema, null.property); p != nil {
			p.Nullable = true
		}
	}
	if p := property(schemas, "ImageManifestSummary", "ImageData"); p != nil {
		p.Required = slices.DeleteFunc(p.Required, func(name string) bool { return name == "UnpackedSize" }) // it is Size.Unpacked
	}
	if p := property(schemas, "RestartPolicy", "Name"); p != nil {
		p.Enum = nil // up to 1.29 without "no"
	}
	if p := property(schemas, "NetworkConfig", "Ports"); p != nil && p.Type.Is("array") {
		*p = openapi3.Schema{Nullable: true} // up to 1.31; always was an object
	}
}

func property(schemas openapi3.Schemas, schema, name string) *openapi3.Schema {
	if s := schemas[schema]; s != nil && s.Value.Properties[name] != nil {
		return s.Value.Properties[name].Value
	}
	return nil
}

// correctOperation does so for what is described in the operation itself.
func correctOperation(o operation) {
	if o.id == "ExecStart" {
		o.responses["101"] = o.responses["200"] // upgraded as attach is
	}
	ok := o.responses["200"].schema
	if o.id == "SystemDataUsage" && ok != nil && ok.Properties["Containers"] != nil {
		// Up to 1.41 a list of lists, since ContainerSummary was a list itself.
		if c := ok.Properties["Containers"].Value; c.Items != nil && c.Items.Value.Type.Is("array") {
			c.Items = c.Items.Value.Items
		}
	}
	if o.id == "ExecInspect" && ok != nil {
		for _, name := range []string{"ExitCode", "DetachKeys"} { // null while it runs; null by default
			if p := ok.Properties[name]; p != nil {
				p.Value.Nullable = true
			}
		}
	}
}

// find gives the operation for a path without version.
func (s *spec) find(method, path string) *operation {
	var best *operation
	for i := range s.operations {
		o := &s.operations[i]
		if o.method == method && o.matches(strings.Split(path, "/")) && (best == nil || o.variables() < best.variables()) {
			best = o
		}
	}
	return best
}

func (o *operation) variables() (n int) {
	for _, segment := range o.path {
		if strings.HasPrefix(segment, "{") {
			n++
		}
	}
	return n
}

// matches compares segment by segment; the variable, of which no path has two,
// takes as many as are left, since names hold slashes.
func (o *operation) matches(path []string) bool {
	for i, segment := range o.path {
		if !strings.HasPrefix(segment, "{") {
			continue
		}
		tail := o.path[i+1:]
		n := len(path) - len(tail)
		return n > i && equal(path[:i], o.path[:i]) && equal(path[n:], tail)
	}
	return equal(path, o.path)
}

func equal(a, b []string) bool { return joinPath(a) == joinPath(b) }

func joinPath(segments []string) string { return strings.Join(segments, "/") }
