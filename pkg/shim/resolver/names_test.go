package resolver

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/berth-engine/berth/pkg/net/records"
)

func TestAddresses(t *testing.T) {
	all := func(netip.Addr) bool { return true }
	s := scope{
		{name: "front", links: map[string]string{"db": "mysql", "gone": "nobody"},
			table: records.Table("n db 10.0.0.9\nn mysql 10.0.0.2\nn v6only fd00::1\nn web 10.0.0.1\nn web.front 10.0.0.3\n")},
		{name: "back.end", table: records.Table("n db 10.1.0.3\nn gone 10.1.0.4\nn v6only 10.1.0.5\nn web 10.1.0.1\n")},
	}
	for _, tt := range []struct {
		name   string
		family func(netip.Addr) bool
		want   []string
		known  bool
	}{
		{"web", all, []string{"10.0.0.1"}, true},
		{"WEB", all, []string{"10.0.0.1"}, true},
		{"web.back.end", all, []string{"10.1.0.1"}, true},
		{"web.front", all, []string{"10.0.0.3"}, true}, // a container with a dot in its name comes first
		{"mysql.front", all, []string{"10.0.0.2"}, true},
		{"db", all, []string{"10.0.0.2"}, true}, // linked: not who is called so
		{"db.front", all, []string{"10.0.0.2"}, true},
		{"db.back.end", all, []string{"10.1.0.3"}, true},
		{"gone", all, []string{"10.1.0.4"}, true}, // a link that leads nowhere hides nothing elsewhere
		{"web", netip.Addr.Is6, nil, true},
		{"v6only", netip.Addr.Is6, []string{"fd00::1"}, true},
		{"v6only", netip.Addr.Is4, []string{"10.1.0.5"}, true}, // the other network has one
		{"web.end", all, nil, false},
		{"web.other", all, nil, false},
		{"front", all, nil, false},
		{"example.com", all, nil, false},
		{"", all, nil, false},
		{"...", all, nil, false},
	} {
		got, known := s.addresses(tt.name, tt.family)
		var text []string
		for _, a := range got {
			text = append(text, a.String())
		}
		if !slices.Equal(text, tt.want) || known != tt.known {
			t.Errorf("%q: %v, %v; want %v, %v", tt.name, text, known, tt.want, tt.known)
		}
	}
	if got, known := scope(nil).addresses("web", all); known {
		t.Errorf("without networks: %v", got)
	}
}

func TestReverse(t *testing.T) {
	for name, want := range map[string]string{
		"2.0.18.172.in-addr.arpa": "172.18.0.2",
		"2.0.18.172.IN-ADDR.ARPA": "172.18.0.2",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.a.D.F.ip6.arpa": "fda0::1",
		"0.18.172.in-addr.arpa":    "",
		"02.0.18.172.in-addr.arpa": "",
		"::1.in-addr.arpa":         "",
		".in-addr.arpa":            "",
		"in-addr.arpa":             "",
		"1.0.ip6.arpa":             "",
		"-1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa": "",
		"web": "",
	} {
		got, ok := reverse(name)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s: %v, %v; want %s", name, got, ok, want)
		}
	}
}
