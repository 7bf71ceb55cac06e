package figures

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPut(t *testing.T) {
	const begin, end = "<!-- x: begin -->\n", "<!-- x: end -->"
	name := filepath.Join(t.TempDir(), "doc.md")
	for _, c := range []struct{ doc, want string }{ // want "": refused
		{"a\n" + begin + "old\n" + end + "\nb\n", "a\n" + begin + "new\n" + end + "\nb\n"},
		{begin + end, begin + "new\n" + end},
		{"", ""}, {begin, ""}, {end + begin, ""}, {"<!-- y: begin -->\n<!-- y: end -->", ""},
	} {
		if err := os.WriteFile(name, []byte(c.doc), 0o600); err != nil {
			t.Fatal(err)
		}
		err := Put(name, "x", "new\n")
		if (err == nil) != (c.want != "") {
			t.Errorf("%q: %v", c.doc, err)
		}
		if c.want == "" {
			c.want = c.doc
		}
		if got, err := os.ReadFile(name); err != nil || string(got) != c.want {
			t.Errorf("%q became %q, %v", c.doc, got, err)
		}
	}
}

func TestCPU(t *testing.T) {
	if got := cpu([]byte("processor\t: 0\nmodel name\t: A CPU: fast\n")); got != "A CPU: fast" {
		t.Errorf("got %q", got)
	}
}
