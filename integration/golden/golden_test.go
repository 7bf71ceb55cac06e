package golden

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	got, err := Parse(strings.NewReader(`
# comment
POST /containers/create?name=a
  {"Image":
   "x"}
  save ID=Id
GET /containers/$ID/json
POST /images/load
  file image
`), map[string]string{"image": "/f"})
	want := []Step{
		{Method: "POST", Target: "/containers/create?name=a", Body: `{"Image":"x"}`, Save: map[string]string{"ID": "Id"}},
		{Method: "GET", Target: "/containers/$ID/json", Save: map[string]string{}},
		{Method: "POST", Target: "/images/load", File: "/f", Save: map[string]string{}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v (%v), want %+v", got, err, want)
	}
	for _, bad := range []string{"GET", "GET x", "  {}", "GET /x\n  file nope", "GET /x\n  save x"} {
		if _, err := Parse(strings.NewReader(bad), nil); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestDifferences(t *testing.T) {
	e := &Engine{Root: "/tmp/x"}
	value := func(s string) any {
		t.Helper()
		v, err := decode([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return e.maskValue("", v, false)
	}
	for _, c := range []struct {
		a, b string
		want []string // fields
	}{
		{`{"a":1}`, `{"a":1}`, nil},
		{`{"a":null}`, `{"a":[]}`, []string{"body.a"}},
		{`{"a":[]}`, `{"a":{}}`, []string{"body.a"}},
		{`{"a":"1"}`, `{"a":1}`, []string{"body.a"}},
		{`{"a":1}`, `{"A":1}`, []string{"body.a", "body.A"}},
		{`{"t":"2020-01-01T00:00:00Z"}`, `{"t":"2021-01-01T00:00:00.5+01:00"}`, nil},
		{`{"t":"0001-01-01T00:00:00Z"}`, `{"t":"2021-01-01T00:00:00Z"}`, []string{"body.t"}},
		{`{"Pid":1}`, `{"Pid":7}`, nil},
		{`{"Status":"Up 1 second"}`, `{"Status":"Up Less than a second"}`, nil},
		{`{"Status":"Up 1 second"}`, `{"Status":"Exited (0) 1 second ago"}`, []string{"body.Status"}},
		{`{"Pid":0}`, `{"Pid":7}`, []string{"body.Pid"}},
		{`[{"Name":"a"},{"Name":"b"}]`, `[{"Name":"b"},{"Name":"a"}]`, nil},
		{`[1]`, `[1,2]`, []string{"body"}},
		{`{"x":["/tmp/x/y"]}`, `{"x":["<root>/y"]}`, nil},
		{`{"status":"a"}{"status":"b"}`, `{"status":"a"}{"status":"c"}`, []string{"body[].status"}},
		{`{"memory_stats":{"usage":1}}`, `{"memory_stats":{"usage":2}}`, nil},
	} {
		var got []string
		walk("body", value(c.a), value(c.b), func(field string, _, _ any) { got = append(got, field) })
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s and %s differ in %v, want %v", c.a, c.b, got, c.want)
		}
	}
	if n := value(`{"a":1}`).(map[string]any)["a"]; n != json.Number("1") {
		t.Errorf("numbers are kept as they are written, got %v", n)
	}
}

func TestRules(t *testing.T) {
	r, err := ParseRules(strings.NewReader("# comment\nGET /a.* | status | 500 .* | 400 .* | newer\n* | body.x | * | * | never\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !r.Allows(Difference{Request: "GET /abc", Field: "status", A: "500 x", B: "400 y"}) || r.Allows(Difference{Request: "GET /abc", Field: "status", A: "500 x", B: "404 y"}) {
		t.Error("a rule stands for what it matches, and no more")
	}
	if unused := r.Unused(); len(unused) != 1 || unused[0].Line != 3 {
		t.Errorf("unused: %v", unused)
	}
	if _, err := ParseRules(strings.NewReader("GET /a | status | x | y")); err == nil {
		t.Error("a rule without a reason is taken")
	}
}
