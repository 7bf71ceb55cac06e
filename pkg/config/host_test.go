package config

import (
	"strings"
	"testing"
)

func TestParseHost(t *testing.T) {
	for _, c := range []struct {
		in   string
		tls  bool
		want string // "" is refused
	}{
		{"unix://", false, "unix:///d/s.sock"},
		{"unix:///run/x.sock", false, "unix:///run/x.sock"},
		{" unix:///run//x.sock ", false, "unix:///run/x.sock"},
		{"unix://run/x.sock", false, ""},
		{"unix:///" + strings.Repeat("a", 106), false, "unix:///" + strings.Repeat("a", 106)},
		{"unix:///" + strings.Repeat("a", 107), false, ""},
		{"unix:///a\x00b", false, ""},
		{"tcp://", false, "tcp://localhost:2375"},
		{"tcp://", true, "tcp://localhost:2376"},
		{"tcp://:2375", false, "tcp://:2375"},
		{"tcp://0.0.0.0", true, "tcp://0.0.0.0:2376"},
		{"tcp://0.0.0.0:1/", true, "tcp://0.0.0.0:1"},
		{"tcp://[::1]:5", false, "tcp://[::1]:5"},
		{"tcp://[::1]", false, "tcp://[::1]:2375"},
		{"tcp://::1", false, ""},
		{"tcp://h:0", false, "tcp://h:0"},
		{"tcp://h:65536", false, ""},
		{"tcp://h:http", false, ""},
		{"tcp://h:+1", false, ""},
		{"tcp://h/path:1", false, ""},
		{"tcp://user@h:1", false, ""},
		{"10.0.0.1:1", false, "tcp://10.0.0.1:1"},
		{":1", false, "tcp://:1"},
		{"", false, ""},
		{"fd://", false, "fd://"},
		{"fd://*", false, "fd://"},
		{"fd://3", false, "fd://3"},
		{"fd://berth.socket", false, "fd://berth.socket"},
		{"fd:///x", false, ""},
		{"ssh://h", false, ""},
		{"npipe:////./pipe/x", false, ""},
	} {
		got, err := ParseHost(c.in, "/d/s.sock", c.tls)
		switch {
		case c.want == "" && err == nil:
			t.Errorf("%q is accepted as %s", c.in, got)
		case c.want == "":
			if !strings.Contains(err.Error(), "invalid bind address") {
				t.Errorf("%q: %v", c.in, err)
			}
		case err != nil || got.String() != c.want:
			t.Errorf("%q is %s, %v; want %s", c.in, got, err, c.want)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"tcp://[::1]:5", "unix://", "fd://*", "[::1%lo]:1", ":1", "a://b"} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, tls bool) {
		h, err := ParseHost(s, "/s", tls)
		if err != nil {
			return
		}
		if again, err := ParseHost(h.String(), "/s", tls); err != nil || again != h {
			t.Errorf("%q is %q, which reads back as %q, %v", s, h, again, err)
		}
	})
}
