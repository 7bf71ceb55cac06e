package records

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
)

func open(t testing.TB) *Records {
	t.Helper()
	r, err := Open(filepath.Join(t.TempDir(), "names"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func put(t testing.TB, r *Records, s Sandbox) {
	t.Helper()
	if err := r.Put(context.Background(), s); err != nil {
		t.Fatal(err)
	}
}

func addrs(s ...string) (out []netip.Addr) {
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// content of a network's file, "" when there is none.
func content(t testing.TB, r *Records, network string) string {
	t.Helper()
	b, err := os.ReadFile(TablePath(r.Path("x"), network))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

func view(t testing.TB, r *Records, id string) string {
	t.Helper()
	b, err := os.ReadFile(r.Path(id))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

func TestPut(t *testing.T) {
	r := open(t)
	put(t, r, Sandbox{ID: "1", Endpoints: []Endpoint{
		{Network: "front", Addrs: addrs("172.18.0.2", "fd00::2"), Names: []string{"Web", "www", "0123456789ab"}, Links: []string{"db:MySQL", "cache"}},
		{Network: "bridge", Plain: true, Addrs: addrs("172.17.0.2"), Names: []string{"ignored"}}}})
	put(t, r, Sandbox{ID: "2", Endpoints: []Endpoint{
		{Network: "front", Internal: true, Addrs: addrs("172.18.0.3"), Names: []string{"db", "www", "not askable", "no\nline", "a..b", strings.Repeat("x", 64)}}}})
	want := `a 172.18.0.2 Web
a 172.18.0.3 db
a fd00::2 Web
n 0123456789ab 172.18.0.2 fd00::2
n db 172.18.0.3
n web 172.18.0.2 fd00::2
n www 172.18.0.2 172.18.0.3 fd00::2
`
	if got := content(t, r, "front"); got != want {
		t.Errorf("front:\n%swant\n%s", got, want)
	}
	if got := content(t, r, "bridge"); got != "" {
		t.Errorf("the default bridge has names: %s", got)
	}
	if got, want := view(t, r, "1"), `{"networks":[{"name":"front","links":{"cache":"cache","mysql":"db"}}],"forward":true}`; got != want {
		t.Errorf("view %s, want %s", got, want)
	}
	if got, want := view(t, r, "2"), `{"networks":[{"name":"front"}]}`; got != want {
		t.Errorf("view %s, want %s", got, want)
	}
	// Renamed, and disconnected.
	put(t, r, Sandbox{ID: "2", Endpoints: []Endpoint{{Network: "front", Addrs: addrs("172.18.0.3"), Names: []string{"sql"}}}})
	if got := content(t, r, "front"); strings.Contains(got, "n db ") || !strings.Contains(got, "n sql 172.18.0.3\n") || !strings.Contains(got, "n www 172.18.0.2 fd00::2\n") {
		t.Errorf("after the rename:\n%s", got)
	}
	put(t, r, Sandbox{ID: "1"})
	if got, want := content(t, r, "front"), "a 172.18.0.3 sql\nn sql 172.18.0.3\n"; got != want {
		t.Errorf("after the disconnect:\n%s", got)
	}
	for range 2 { // the second time there is nothing
		if err := r.Remove(t.Context(), "2"); err != nil {
			t.Error(err)
		}
	}
	if got := content(t, r, "front") + view(t, r, "2"); got != "" {
		t.Errorf("left: %s", got)
	}
	if len(r.tables) > 0 {
		t.Errorf("tables of networks without containers are kept: %v", r.tables)
	}
}

// What a crash left is replaced by what is true at boot.
func TestReset(t *testing.T) {
	r := open(t)
	put(t, r, Sandbox{ID: "1", Endpoints: []Endpoint{{Network: "a", Addrs: addrs("10.0.0.1"), Names: []string{"gone"}}}})
	put(t, r, Sandbox{ID: "2", Endpoints: []Endpoint{{Network: "b", Addrs: addrs("10.0.0.2"), Names: []string{"old"}}}})
	for _, f := range []string{filepath.Join(r.networks(), ".tmp-1"), filepath.Join(r.containers(), ".tmp-2")} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Open(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	err = again.Reset(t.Context(), []Sandbox{
		{ID: "2", Endpoints: []Endpoint{{Network: "b", Addrs: addrs("10.0.0.2"), Names: []string{"new"}}}},
		{ID: "3", Endpoints: []Endpoint{{Network: "b", Addrs: addrs("10.0.0.3"), Names: []string{"third"}}}},
		{ID: "bad", Endpoints: []Endpoint{{Network: "../b"}}}})
	if !errdefs.IsInvalidArgument(err) {
		t.Errorf("an invalid one: %v", err)
	}
	if got, want := content(t, again, "b"), "a 10.0.0.2 new\na 10.0.0.3 third\nn new 10.0.0.2\nn third 10.0.0.3\n"; got != want {
		t.Errorf("got\n%s", got)
	}
	var files []string
	for _, d := range []string{again.networks(), again.containers()} {
		entries, err := os.ReadDir(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			files = append(files, e.Name())
		}
	}
	if !slices.Equal(files, []string{"b", "2", "3"}) {
		t.Errorf("files: %v", files)
	}
}

func TestBadInput(t *testing.T) {
	r := open(t)
	for name, s := range map[string]Sandbox{
		"no ID":            {},
		"ID with a path":   {ID: "../1"},
		"network's path":   {ID: "1", Endpoints: []Endpoint{{Network: "a/b"}}},
		"hidden network":   {ID: "1", Endpoints: []Endpoint{{Network: ".tmp-1"}}},
		"nameless network": {ID: "1", Endpoints: []Endpoint{{}}},
		"too many names":   {ID: "1", Endpoints: []Endpoint{{Network: "a", Names: make([]string, maxNames+1)}}},
	} {
		if err := r.Put(t.Context(), s); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.Remove(t.Context(), "../../x"); err != nil {
		t.Error(err)
	}
}

// Containers that start at the same time share a network's file: each finds
// itself there when Put has returned, whoever wrote it.
func TestAtTheSameTime(t *testing.T) {
	r := open(t)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			id := fmt.Sprintf("c%d", i)
			for range 3 {
				put(t, r, Sandbox{ID: id, Endpoints: []Endpoint{{Network: "n", Addrs: addrs(fmt.Sprintf("10.0.0.%d", i+1)), Names: []string{id, "all"}}}})
				if got := content(t, r, "n"); !strings.Contains(got, "n "+id+" ") {
					t.Errorf("%s is not in the file", id)
				}
				if i%2 == 0 {
					if err := r.Remove(t.Context(), id); err != nil {
						t.Error(err)
					}
					if got := content(t, r, "n"); strings.Contains(got, "n "+id+" ") {
						t.Errorf("%s is still in the file", id)
					}
				}
			}
		})
	}
	wg.Wait()
	if got := len(Table(content(t, r, "n")).Name("ALL")); got != 32 {
		t.Errorf("%d are called all, want 32", got)
	}
}

func TestTable(t *testing.T) {
	r := open(t)
	var all []Sandbox
	for i := range 100 {
		all = append(all, Sandbox{ID: fmt.Sprint(i), Endpoints: []Endpoint{{Network: "n",
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})}, Names: []string{fmt.Sprintf("web-%d", i), "web", fmt.Sprintf("w%d", i%3)}}}})
	}
	if err := r.Reset(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	table := Table(content(t, r, "n"))
	for i := range 100 {
		a := netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})
		if got := table.Name(fmt.Sprintf("Web-%d", i)); !slices.Equal(got, []netip.Addr{a}) {
			t.Errorf("web-%d: %v", i, got)
		}
		if got := table.Address(a); got != fmt.Sprintf("web-%d", i) {
			t.Errorf("%s: %s", a, got)
		}
	}
	for n, want := range map[string]int{"web": 100, "w0": 34, "w1": 33, "w": 0, "we": 0, "web-": 0, "web-100": 0, "": 0, "10.0.1.1": 0, "zzz": 0, "a 10.0.1.1": 0} {
		if got := len(table.Name(n)); got != want {
			t.Errorf("%q: %d addresses, want %d", n, got, want)
		}
	}
	if got := table.Address(netip.MustParseAddr("10.0.1.200")); got != "" {
		t.Errorf("an address of nobody: %s", got)
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte("a 10.0.0.1 x\nn x 10.0.0.1\n"), "x")
	f.Add([]byte("n x\nn x"), "x")
	f.Add([]byte("\n\n"), "")
	f.Fuzz(func(t *testing.T, b []byte, n string) {
		for _, a := range Table(b).Name(n) {
			Table(b).Address(a)
		}
	})
}

// BenchmarkPut is what a start pays beside many others on its network.
func BenchmarkPut(b *testing.B) {
	for _, others := range []int{0, 500} {
		b.Run(fmt.Sprintf("beside-%d", others), func(b *testing.B) {
			r := open(b)
			for i := range others {
				put(b, r, Sandbox{ID: fmt.Sprint(i), Endpoints: []Endpoint{{Network: "n",
					Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})},
					Names: []string{fmt.Sprintf("compose-service-%d", i), "service", fmt.Sprintf("%012d", i)}}}})
			}
			s := Sandbox{ID: "x", Endpoints: []Endpoint{{Network: "n", Addrs: addrs("10.1.0.1"), Names: []string{"x", "service"}}}}
			for b.Loop() {
				put(b, r, s)
				if err := r.Remove(b.Context(), "x"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
