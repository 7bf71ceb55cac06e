package supervise

import (
	"fmt"
	"testing"
)

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		name string
		deps map[string][]string
		want string
	}{
		{"none", nil, "[]"},
		{"independent", map[string][]string{"b": nil, "a": nil}, "[[a b]]"},
		{"chain", map[string][]string{"a": {"b"}, "b": {"c"}, "c": nil}, "[[c] [b] [a]]"},
		{"diamond", map[string][]string{"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": nil}, "[[d] [b c] [a]]"},
		{"what is there already", map[string][]string{"a": {"x"}, "b": nil}, "[[a b]]"},
		{"circle", map[string][]string{"a": {"b"}, "b": {"a"}, "c": nil, "d": {"a"}}, "[[c] [a b d]]"},
		{"itself", map[string][]string{"a": {"a"}, "b": nil}, "[[b] [a]]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := fmt.Sprint(Levels(c.deps)); got != c.want {
				t.Errorf("got %s", got)
			}
		})
	}
}
