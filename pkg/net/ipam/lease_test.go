package ipam

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
)

func pool(t testing.TB, c Config) *Pool {
	t.Helper()
	if c.Dir == "" {
		c.Dir = filepath.Join(t.TempDir(), "leases")
	}
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func lease(t testing.TB, p *Pool, id string) string {
	t.Helper()
	a, err := p.Lease(netip.Addr{}, Owner{id, "eth0"})
	if err != nil {
		t.Fatal(err)
	}
	return a.String()
}

func TestNew(t *testing.T) {
	for _, tt := range []struct {
		subnet, ipRange string
		ok              bool
	}{
		{"172.17.0.0/16", "", true},
		{"172.17.0.0/16", "172.17.5.0/24", true},
		{"172.17.0.0/16", "172.18.5.0/24", false},
		{"172.17.5.0/24", "172.17.0.0/16", false},
		{"172.17.0.1/16", "", false},
		{"fd00::/64", "", true},
	} {
		c := Config{Subnet: netip.MustParsePrefix(tt.subnet)}
		if tt.ipRange != "" {
			c.Range = netip.MustParsePrefix(tt.ipRange)
		}
		_, err := New(c)
		if tt.ok != (err == nil) || err != nil && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s range %q: %v", tt.subnet, tt.ipRange, err)
		}
	}
	if _, err := New(Config{}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("no subnet: %v", err)
	}
}

// The whole of small subnets, in order: what is kept back and what is not.
func TestOrder(t *testing.T) {
	for _, tt := range []struct {
		subnet, ipRange string
		reserved        []string
		want            []string
	}{
		{"10.0.0.0/29", "", []string{"10.0.0.1"}, []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}},
		{"10.0.0.0/29", "", []string{"10.0.0.6", "10.0.0.2"}, []string{"10.0.0.1", "10.0.0.3", "10.0.0.4", "10.0.0.5"}},
		{"10.0.0.0/24", "10.0.0.128/30", []string{"10.0.0.1"}, []string{"10.0.0.128", "10.0.0.129", "10.0.0.130", "10.0.0.131"}},
		{"10.0.0.0/24", "10.0.0.252/30", nil, []string{"10.0.0.252", "10.0.0.253", "10.0.0.254"}},
		{"10.0.0.0/31", "", nil, []string{"10.0.0.0", "10.0.0.1"}},
		{"10.0.0.7/32", "", nil, []string{"10.0.0.7"}},
		{"255.255.255.252/30", "", nil, []string{"255.255.255.253", "255.255.255.254"}},
		{"fd00::/126", "", []string{"fd00::1"}, []string{"fd00::2", "fd00::3"}},
	} {
		t.Run(tt.subnet+tt.ipRange, func(t *testing.T) {
			c := Config{Subnet: netip.MustParsePrefix(tt.subnet)}
			if tt.ipRange != "" {
				c.Range = netip.MustParsePrefix(tt.ipRange)
			}
			for _, r := range tt.reserved {
				c.Reserved = append(c.Reserved, netip.MustParseAddr(r))
			}
			p := pool(t, c)
			for _, want := range tt.want {
				if got := lease(t, p, "c"); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
			if a, err := p.Lease(netip.Addr{}, Owner{"c", "eth0"}); !errdefs.IsResourceExhausted(err) {
				t.Errorf("when full: %v, %v", a, err)
			}
		})
	}
}

func TestReuse(t *testing.T) {
	p := pool(t, Config{Subnet: netip.MustParsePrefix("10.0.0.0/24")})
	for i := range 5 {
		lease(t, p, fmt.Sprint(i))
	}
	for _, a := range []string{"10.0.0.4", "10.0.0.2"} {
		if err := p.Release(netip.MustParseAddr(a), Owner{"nobody", "eth0"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := lease(t, p, "x"); got != "10.0.0.6" {
		t.Errorf("another's lease was released: got %s", got)
	}
	for a, id := range map[string]string{"10.0.0.4": "3", "10.0.0.2": "1"} {
		for range 2 { // the second time it is gone already
			if err := p.Release(netip.MustParseAddr(a), Owner{id, "eth0"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, want := range []string{"10.0.0.2", "10.0.0.4", "10.0.0.7"} {
		if got := lease(t, p, "y"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestStatic(t *testing.T) {
	p := pool(t, Config{Subnet: netip.MustParsePrefix("10.0.0.0/24"), Range: netip.MustParsePrefix("10.0.0.0/28"),
		Reserved: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
	for _, tt := range []struct {
		want string
		is   func(error) bool
	}{
		{"10.0.0.3", func(err error) bool { return err == nil }},
		{"10.0.0.200", func(err error) bool { return err == nil }}, // outside the range
		{"10.0.0.3", errdefs.IsAlreadyExists},
		{"10.0.0.1", errdefs.IsAlreadyExists},
		{"10.0.0.0", errdefs.IsAlreadyExists},
		{"10.0.0.255", errdefs.IsAlreadyExists},
		{"10.0.1.3", errdefs.IsOutOfRange},
		{"fd00::1", errdefs.IsOutOfRange},
	} {
		if _, err := p.Lease(netip.MustParseAddr(tt.want), Owner{"c", "eth0"}); !tt.is(err) {
			t.Errorf("%s: %v", tt.want, err)
		}
	}
	for _, want := range []string{"10.0.0.2", "10.0.0.4"} {
		if got := lease(t, p, "d"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Two processes that share a folder, and then a third that begins anew.
func TestShared(t *testing.T) {
	c := Config{Dir: t.TempDir(), Subnet: netip.MustParsePrefix("10.0.0.0/28")}
	if err := os.WriteFile(filepath.Join(c.Dir, "not an address"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a, b := pool(t, c), pool(t, c)
	for i, want := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"} {
		if got := lease(t, []*Pool{a, b}[i%2], fmt.Sprint(i)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	fresh := pool(t, c)
	if n, _ := fresh.Usage(); n != 4+2 { // and the network's and broadcast addresses
		t.Errorf("%d in use", n)
	}
	if err := fresh.ReleaseIf(func(o Owner) bool { return o.ID != "2" }); err != nil {
		t.Fatal(err)
	}
	if got := lease(t, fresh, "x"); got != "10.0.0.1" {
		t.Errorf("got %s", got)
	}
	if n, _ := pool(t, c).Usage(); n != 2+2 {
		t.Errorf("%d in use", n)
	}
}

func TestConcurrent(t *testing.T) {
	c := Config{Dir: t.TempDir(), Subnet: netip.MustParsePrefix("10.0.0.0/22")}
	pools := []*Pool{pool(t, c), pool(t, c)}
	var mu sync.Mutex
	seen := map[netip.Addr]int{}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				a, err := pools[i%2].Lease(netip.Addr{}, Owner{fmt.Sprint(i, j), "eth0"})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				seen[a]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for a, n := range seen {
		if n > 1 {
			t.Errorf("%s was leased %d times", a, n)
		}
	}
	if len(seen) != 800 {
		t.Errorf("%d addresses", len(seen))
	}
}

func BenchmarkLease(b *testing.B) {
	for _, held := range []int{1, 10000} {
		b.Run(fmt.Sprint("beside-", held), func(b *testing.B) {
			p := pool(b, Config{Subnet: netip.MustParsePrefix("10.0.0.0/16")})
			for i := range held {
				lease(b, p, fmt.Sprint(i))
			}
			first, o := netip.MustParseAddr("10.0.0.1"), Owner{"0", "eth0"}
			for b.Loop() {
				if err := p.Release(first, o); err != nil {
					b.Fatal(err)
				}
				if _, err := p.Lease(netip.Addr{}, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
