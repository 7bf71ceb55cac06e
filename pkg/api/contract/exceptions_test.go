package contract

import (
	"strings"
	"testing"
)

func TestExceptions(t *testing.T) {
	all, err := parseExceptions("# why\n\nanswer | Box(List|Inspect) | (\\[\\]\\.)?Lid.* | it has none\nbody | BoxCreate | Lid | likewise\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ kind, operation, field, want string }{
		{Answer, "BoxList", "[].Lid.Color", "it has none"},
		{Answer, "BoxInspect", "Lid", "it has none"},
		{Answer, "BoxInspect", "Base", ""},
		{Answer, "OtherBoxList", "Lid", ""}, // all of a name, not a part
		{Query, "BoxList", "Lid", ""},
	} {
		if got := all.Reason(c.kind, c.operation, c.field); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	if unused := all.Unused(Body); len(unused) != 1 || unused[0].Line != 4 || len(all.Unused(Answer)) != 0 {
		t.Errorf("unused: %v", unused)
	}
	for _, bad := range []string{"answer | X | Y", "answer | X | Y | ", "nothing | X | Y | z", "answer | ( | Y | z", "answer | X | [ | z"} {
		if _, err := parseExceptions("\n" + bad); err == nil || !strings.HasPrefix(err.Error(), "exceptions.txt:2: ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := ReadExceptions(); err != nil {
		t.Error(err)
	}
}
