package resolver

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"
)

// FuzzQuery: whatever a container sends, what we answer is a DNS message that
// another implementation reads, no larger than it may be.
func FuzzQuery(f *testing.F) {
	for _, typ := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeANY} {
		m := new(dns.Msg).SetQuestion("web.front.", typ)
		b, _ := m.Pack()
		f.Add(b)
		m.SetEdns0(1232, true)
		b, _ = m.Pack()
		f.Add(b)
	}
	f.Add([]byte{0, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0xc0, 12})
	var addrs []netip.Addr
	for i := range 300 {
		addrs = append(addrs, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, tcp := range []bool{false, true} {
			q, code, err := parse(b, tcp)
			if err != nil {
				continue
			}
			outs := [][]byte{q.fails(code)}
			if code == dnsmessage.RCodeSuccess {
				outs = append(outs, q.addresses(addrs), q.pointer("web.front"), q.reply(code, true, nil))
			}
			for _, out := range outs {
				var m dns.Msg
				if err := m.Unpack(out); err != nil || m.Id != q.ID || !m.Response || len(out) > q.limit {
					t.Fatalf("answer of %d bytes (limit %d): %v: %x", len(out), q.limit, err, out)
				}
			}
		}
	})
}

// FuzzAnswer: whatever a name server sends.
func FuzzAnswer(f *testing.F) {
	m := new(dns.Msg).SetQuestion("example.com.", dns.TypeA)
	query, _ := m.Pack()
	q, _, err := parse(query, false)
	if err != nil {
		f.Fatal(err)
	}
	good, _ := new(dns.Msg).SetReply(m).Pack()
	f.Add(good)
	f.Add(query)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := q.answered(b, m.Id); ok && (len(b) < 12 || b[2]&0x80 == 0) {
			t.Fatalf("taken for an answer: %x", b)
		}
	})
}

func TestAnswered(t *testing.T) {
	m := new(dns.Msg).SetQuestion("Example.com.", dns.TypeA)
	b, _ := m.Pack()
	q, _, err := parse(b, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*dns.Msg)
		want   bool
	}{
		"the answer":       {func(*dns.Msg) {}, true},
		"in another case":  {func(a *dns.Msg) { a.Question[0].Name = "eXample.COM." }, true},
		"of another id":    {func(a *dns.Msg) { a.Id++ }, false},
		"to another name":  {func(a *dns.Msg) { a.Question[0].Name = "example.org." }, false},
		"to another type":  {func(a *dns.Msg) { a.Question[0].Qtype = dns.TypeAAAA }, false},
		"a query":          {func(a *dns.Msg) { a.Response = false }, false},
		"no question":      {func(a *dns.Msg) { a.Question = nil }, false},
		"failed, without":  {func(a *dns.Msg) { a.Question, a.Rcode = nil, dns.RcodeServerFailure }, true},
		"two questions":    {func(a *dns.Msg) { a.Question = append(a.Question, a.Question[0]) }, false},
		"NXDOMAIN without": {func(a *dns.Msg) { a.Question, a.Rcode = nil, dns.RcodeNameError }, false},
	} {
		a := new(dns.Msg).SetReply(m)
		tt.change(a)
		b, err := a.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, got := q.answered(b, m.Id); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
