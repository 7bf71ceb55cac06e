package remote

import (
	"strings"
	"testing"
)

func TestInsecure(t *testing.T) {
	for _, c := range []struct {
		host, list string
		want       bool
	}{
		{"r:5000", "r:5000", true},
		{"r:5000", "r", true},
		{"r", "r:5000", false},
		{"10.1.2.3:5000", "10.0.0.0/8", true},
		{"11.1.2.3:5000", "10.0.0.0/8", false},
		{"[fd00::1]:5000", "fd00::/16", true},
		{"r", "10.0.0.0/8", false},
	} {
		if got := insecure(c.host, strings.Fields(c.list)); got != c.want {
			t.Errorf("%s in %s: %v", c.host, c.list, got)
		}
	}
}

func TestDomain(t *testing.T) {
	for in, want := range map[string]string{
		"": "docker.io", "https://index.docker.io/v1/": "docker.io", "registry-1.docker.io": "docker.io", "docker.io": "docker.io",
		"r:5000": "r:5000", "https://r:5000/v2/": "r:5000", "http://127.0.0.1:5000": "127.0.0.1:5000", "r/path": "r",
	} {
		if got := Domain(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}
