package filters

import (
	"maps"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]Args{
		"":                                       nil,
		"{}":                                     {},
		`{"a":["b","c"]}`:                        {"a": {"b", "c"}},
		`{"a":{"c":true,"b":true,"d":false}}`:    {"a": {"b", "c"}},
		`{"a":[]}`:                               {"a": {}},
		`{"label":{"x=y":true},"id":{"1":true}}`: {"label": {"x=y"}, "id": {"1"}},
	} {
		got, err := Parse(in)
		if err != nil || !maps.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s: %v %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"x", "[]", `"a"`, `{"a":"b"}`, `{"a":[1]}`, `{"a":{"b":1}}`, `{"a":["b"]}x`} {
		if got, err := Parse(in); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v %v", in, got, err)
		}
	}
}

func TestMatch(t *testing.T) {
	a := Args{"name": {"x", "y"}, "label": {"a", "b=c"}, "dangling": {"1"}, "none": {}}
	for name, ok := range map[string]bool{
		"given":              a.Match("name", "y"),
		"not given":          a.Match("other", "z"),
		"no value":           a.Match("none", "z"),
		"func":               a.MatchFunc("name", func(s string) bool { return s == "x" }),
		"pattern":            Args{"name": {"*", "^da.a$"}}.MatchPattern("name", "data"),
		"pattern, itself":    Args{"name": {"da*ta("}}.MatchPattern("name", "da*ta("),
		"pattern, part":      Args{"name": {"at"}}.MatchPattern("name", "data"),
		"pattern, not given": a.MatchPattern("other", "data"),
		"other pattern":      !Args{"name": {"^at"}}.MatchPattern("name", "data"),
		"labels":             a.MatchLabels("label", map[string]string{"a": "", "b": "c"}),
		"other value":        !a.Match("name", "z"),
		"label's value":      !a.MatchLabels("label", map[string]string{"a": "", "b": "d"}),
		"label missing":      !a.MatchLabels("label", map[string]string{"b": "c"}),
		"accepted":           a.Validate("name", "label", "dangling", "none") == nil,
		"not accepted":       errdefs.IsInvalidArgument(a.Validate("name")),
		"nil filters naught": Args(nil).Match("a", "b") && Args(nil).Validate() == nil,
	} {
		if !ok {
			t.Error(name)
		}
	}
	if b, err := a.Bool("dangling", false); !b || err != nil {
		t.Errorf("dangling: %v %v", b, err)
	}
	if b, err := a.Bool("absent", true); !b || err != nil {
		t.Errorf("absent: %v %v", b, err)
	}
	if _, err := a.Bool("name", true); !errdefs.IsInvalidArgument(err) {
		t.Errorf("two values: %v", err)
	}
}

func TestWithLeavesTheOriginal(t *testing.T) {
	a := Args{"a": {"b"}}
	if b := a.With("a", "c").With("d", "e"); !slices.Equal(b["a"], []string{"b", "c"}) || !slices.Equal(b["d"], []string{"e"}) {
		t.Errorf("%v", b)
	}
	if len(a) != 1 || len(a["a"]) != 1 {
		t.Errorf("%v", a)
	}
	if b := Args(nil).With("a", "b"); !b.Match("a", "b") {
		t.Errorf("%v", b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"a":["b"]}`)
	f.Add(`{"a":{"b":true}}`)
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil && !errdefs.IsInvalidArgument(err) {
			t.Fatalf("%v is of no class", err)
		}
		for k := range a {
			a.Match(k, "x")
			a.MatchLabels(k, map[string]string{"x": "y"})
			_, _ = a.Bool(k, true)
		}
	})
}
