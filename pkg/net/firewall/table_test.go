package firewall

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/containerd/errdefs"
	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { nettest.Main(m) }

var update = flag.Bool("update", false, "write the golden files")

func openTable(t testing.TB) *Table {
	t.Helper()
	fw, err := Open(Config{Name: "berth-test", Log: slog.New(slog.DiscardHandler), Forwarding: Forwarding{Off: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fw.Drop(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		if err := fw.Close(); err != nil {
			t.Error(err)
		}
		nft(t, "flush", "ruleset")
	})
	return fw
}

func nft(t testing.TB, args ...string) []byte {
	t.Helper()
	out, err := exec.Command("nft", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("nft %v: %v\n%s", args, err, out)
	}
	return out
}

var (
	lan = Network{Bridge: "berth0", Subnets: []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16")},
		Masquerade: true, ICC: true}
	closed = Network{Bridge: "br-closed", Internal: true, Subnets: []netip.Prefix{
		netip.MustParsePrefix("10.1.2.0/24"), netip.MustParsePrefix("fd12::/64")}}
	dual = Network{Bridge: "br-dual", Masquerade: true, ICC: true, Subnets: []netip.Prefix{
		netip.MustParsePrefix("10.9.0.0/24"), netip.MustParsePrefix("fd13::/64")}}
)

func tcp(host, to string) Mapping {
	return Mapping{Proto: unix.IPPROTO_TCP, Host: netip.MustParseAddrPort(host), To: netip.MustParseAddrPort(to)}
}

// direct is a port at the container's own address.
func direct(to string) Mapping {
	return Mapping{Proto: unix.IPPROTO_TCP, To: netip.MustParseAddrPort(to)}
}

// link is a port that a neighbour reaches.
func link(from, to string) Mapping {
	return Mapping{Proto: unix.IPPROTO_TCP, To: netip.MustParseAddrPort(to), Link: Link{"br-apart", netip.MustParseAddr(from)}}
}

func udp(host, to string) Mapping {
	m := tcp(host, to)
	m.Proto = unix.IPPROTO_UDP
	return m
}

func TestRuleset(t *testing.T) {
	for _, tt := range []struct {
		name      string
		networks  []Network
		published map[string][]Mapping
	}{
		{name: "empty"},
		{name: "one", networks: []Network{lan}},
		{name: "full", networks: []Network{lan, closed, dual}, published: map[string][]Mapping{
			"c1/eth0": {tcp("0.0.0.0:8080", "172.17.0.2:80"), tcp("127.0.0.1:9090", "172.17.0.2:90"), udp("0.0.0.0:53", "172.17.0.2:53")},
			"c2/eth0": {tcp("[::]:8080", "[fd13::2]:80"), tcp("[2001:db8::1]:81", "[fd13::2]:81")},
		}},
		{name: "access", networks: []Network{
			{Bridge: "br-routed", ICC: true, Access4: AccessRouted, Access6: AccessAll, Trusted: []string{"eth1"}, Subnets: dual.Subnets},
			{Bridge: "br-direct", Masquerade: true, Access4: AccessPublished, Subnets: lan.Subnets,
				Source: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}},
		}, published: map[string][]Mapping{"c1/eth0": {direct("10.9.0.2:80"), direct("[fd13::2]:80"),
			tcp("0.0.0.0:8080", "172.17.0.2:80"), direct("172.17.0.2:80")}}},
		{name: "linked", networks: []Network{{Bridge: "br-apart", Subnets: lan.Subnets, Access4: AccessPublished}}, published: map[string][]Mapping{
			"c1>c2": {link("172.17.0.2", "172.17.0.3:80"), link("172.17.0.2", "172.17.0.3:81")}, "c2/eth0": {tcp("0.0.0.0:8080", "172.17.0.3:80")}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fw := openTable(t)
			if err := fw.Reset(t.Context(), tt.networks, tt.published); err != nil {
				t.Fatal(err)
			}
			golden(t, tt.name, nft(t, "-n", "list", "table", "inet", "berth-test"))
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".nft")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the ruleset differs from %s:\n%s", path, got)
	}
}

// Step by step must end where one Reset does, whatever the order.
func TestIncremental(t *testing.T) {
	fw := openTable(t)
	ctx := t.Context()
	old := lan
	old.ICC, old.Masquerade = false, false
	for _, err := range []error{
		fw.AddNetwork(ctx, old),
		fw.Publish(ctx, "gone/eth0", []Mapping{tcp("0.0.0.0:8080", "172.17.0.9:80"), udp("0.0.0.0:8080", "172.17.0.9:80")}),
		fw.AddNetwork(ctx, closed), fw.AddNetwork(ctx, dual), fw.AddNetwork(ctx, lan),
		fw.Publish(ctx, "c2/eth0", []Mapping{tcp("[::]:8080", "[fd13::2]:80")}),
		fw.Unpublish(ctx, "gone/eth0"), fw.Unpublish(ctx, "gone/eth0"),
		fw.Publish(ctx, "c1/eth0", []Mapping{tcp("0.0.0.0:8080", "172.17.0.2:80")}),
		fw.Unpublish(ctx, "c1/eth0"), fw.Unpublish(ctx, "c2/eth0"),
		fw.RemoveNetwork(ctx, closed.Bridge), fw.RemoveNetwork(ctx, dual.Bridge), fw.RemoveNetwork(ctx, "never"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "one", nft(t, "-n", "list", "table", "inet", "berth-test"))
}

func TestConflict(t *testing.T) {
	fw := openTable(t)
	ctx := t.Context()
	if err := fw.Publish(ctx, "a/eth0", []Mapping{tcp("0.0.0.0:80", "172.17.0.2:80")}); err != nil {
		t.Fatal(err)
	}
	err := fw.Publish(ctx, "b/eth0", []Mapping{tcp("0.0.0.0:81", "172.17.0.3:81"), tcp("0.0.0.0:80", "172.17.0.3:80")})
	if !errdefs.IsAlreadyExists(err) {
		t.Fatalf("got %v", err)
	}
	if have, err := fw.Published(ctx); err != nil || len(have) != 1 || len(have["a/eth0"]) != 1 {
		t.Errorf("published: %v, %v", have, err)
	}
	if err := fw.Publish(ctx, "c/eth0", []Mapping{tcp("0.0.0.0:80", "[fd13::3]:80")}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("families mixed: %v", err)
	}
}

// Whatever somebody deletes comes back.
func TestPutBack(t *testing.T) {
	for _, tt := range []struct {
		name   string
		delete []string
	}{
		{"ruleset", []string{"flush", "ruleset"}},
		{"table", []string{"delete", "table", "inet", "berth-test"}},
		{"flushed table", []string{"flush", "table", "inet", "berth-test"}},
		{"chain", []string{"flush", "chain", "inet", "berth-test", "forward"}},
		{"map", []string{"flush", "map", "inet", "berth-test", "ports4"}},
		{"element", []string{"delete", "element", "inet", "berth-test", "bridges", "{ berth0 }"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fw := openTable(t)
			if err := fw.Reset(t.Context(), []Network{lan}, map[string][]Mapping{
				"c1/eth0": {tcp("0.0.0.0:8080", "172.17.0.2:80")}}); err != nil {
				t.Fatal(err)
			}
			list := func() []byte { return nft(t, "-n", "list", "ruleset") }
			want := list()
			wait := generation(t)
			nft(t, tt.delete...)
			wait() // theirs
			wait() // ours
			if got := list(); !bytes.Equal(got, want) {
				t.Errorf("not as it was:\n%s", got)
			}
		})
	}
}

// generation returns a function that waits for the next transaction.
func generation(t *testing.T) func() {
	t.Helper()
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	mon := nftables.NewMonitor()
	events, err := c.AddGenerationalMonitor(mon)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mon.Close() })
	return func() {
		select {
		case <-events:
		case <-time.After(10 * time.Second): // the bound of a hang, not an expectation
			t.Fatal("no transaction came")
		}
	}
}

// A change that finds the table gone makes it whole, before the watcher can.
func TestChangeAfterFlush(t *testing.T) {
	fw := openTable(t)
	ctx := t.Context()
	if err := fw.Reset(ctx, []Network{lan}, nil); err != nil {
		t.Fatal(err)
	}
	nft(t, "flush", "ruleset")
	if err := fw.Publish(ctx, "c/eth0", []Mapping{tcp("0.0.0.0:80", "172.17.0.2:80")}); err != nil {
		t.Fatal(err)
	}
	nft(t, "flush", "ruleset")
	if err := fw.Unpublish(ctx, "c/eth0"); err != nil {
		t.Fatal(err)
	}
	golden(t, "one", nft(t, "-n", "list", "table", "inet", "berth-test"))
}

func TestManyPorts(t *testing.T) {
	fw := openTable(t)
	ctx := t.Context()
	if err := fw.Reset(ctx, []Network{lan}, nil); err != nil {
		t.Fatal(err)
	}
	var all []Mapping
	for p := range uint16(8000) {
		all = append(all, Mapping{Proto: unix.IPPROTO_TCP, Host: netip.AddrPortFrom(netip.IPv4Unspecified(), 10000+p),
			To: netip.AddrPortFrom(netip.MustParseAddr("172.17.0.2"), 10000+p)})
	}
	if err := fw.Publish(ctx, "c/eth0", all); err != nil {
		t.Fatal(err)
	}
	out := nft(t, "-n", "list", "map", "inet", "berth-test", "ports4")
	if n := len(regexp.MustCompile(`comment`).FindAll(out, -1)); n != len(all) {
		t.Errorf("%d elements, want %d", n, len(all))
	}
	if err := fw.Unpublish(ctx, "c/eth0"); err != nil {
		t.Fatal(err)
	}
	golden(t, "one", nft(t, "-n", "list", "table", "inet", "berth-test"))
}

// The notifications of our own large changes are all taken: none is lost, which
// would be taken for a change by others.
func TestOwnChangesAreNoRepair(t *testing.T) {
	defer nft(t, "flush", "ruleset")
	var log bytes.Buffer
	fw, err := Open(Config{Name: "berth-test", Forwarding: Forwarding{Off: true}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := fw.Reset(t.Context(), []Network{dual}, nil); err != nil {
		t.Fatal(err)
	}
	var all []Mapping
	for p := range uint16(16000) {
		all = append(all, tcp(fmt.Sprintf("0.0.0.0:%d", 10000+p), fmt.Sprintf("10.9.0.2:%d", 10000+p)),
			tcp(fmt.Sprintf("[::]:%d", 10000+p), fmt.Sprintf("[fd13::2]:%d", 10000+p)))
	}
	for range 2 {
		if err := fw.Publish(t.Context(), "c/eth0", all); err != nil {
			t.Fatal(err)
		}
		if err := fw.Unpublish(t.Context(), "c/eth0"); err != nil {
			t.Fatal(err)
		}
	}
	if err := fw.Close(); err != nil {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", &log)
	}
}

// A process without memory finds what another published.
func TestShared(t *testing.T) {
	ctx := t.Context()
	want := []Mapping{tcp("0.0.0.0:80", "172.17.0.2:80"), tcp("127.0.0.1:81", "172.17.0.2:81"),
		tcp("[::]:80", "[fd13::2]:80"), tcp("[2001:db8::1]:80", "[fd13::2]:80")}
	for i := range 3 {
		fw, err := OpenShared(Config{Name: "berth-test", Log: slog.New(slog.DiscardHandler), Forwarding: Forwarding{Off: true}})
		if err != nil {
			t.Fatal(err)
		}
		switch i {
		case 0:
			err = fw.AddNetwork(ctx, lan)
		case 1:
			if err = fw.AddNetwork(ctx, lan); err == nil {
				err = fw.Publish(ctx, "c/eth0", want)
			}
		case 2:
			have, perr := fw.Published(ctx)
			if perr != nil || len(have["c/eth0"]) != len(want) {
				t.Errorf("published: %v, %v", have, perr)
			}
			err = fw.Unpublish(ctx, "c/eth0")
		}
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if err := fw.Close(); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "one", nft(t, "-n", "list", "table", "inet", "berth-test"))
	nft(t, "flush", "ruleset")
}

func TestForeignDelete(t *testing.T) {
	table := []byte{11, 0, 1, 0, 'b', 'e', 'r', 't', 'h', '-', 't', 0}
	data := func(family byte, attrs []byte) []byte { return append([]byte{family, 0, 0, 0}, attrs...) }
	for _, tt := range []struct {
		name string
		typ  uint16
		pid  uint32
		data []byte
		want bool
	}{
		{"theirs", unix.NFT_MSG_DELTABLE, 7, data(unix.NFPROTO_INET, table), true},
		{"ours", unix.NFT_MSG_DELTABLE, 3, data(unix.NFPROTO_INET, table), false},
		{"an addition", unix.NFT_MSG_NEWRULE, 7, data(unix.NFPROTO_INET, table), false},
		{"another family", unix.NFT_MSG_DELRULE, 7, data(unix.NFPROTO_IPV4, table), false},
		{"another table", unix.NFT_MSG_DELRULE, 7, data(unix.NFPROTO_INET, []byte{6, 0, 1, 0, 'x', 0, 0, 0}), false},
		{"short", unix.NFT_MSG_DELRULE, 7, []byte{1}, false},
		{"broken", unix.NFT_MSG_DELRULE, 7, data(unix.NFPROTO_INET, []byte{255, 255, 1}), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := foreignDelete(message(tt.typ, tt.pid, tt.data), "berth-t", 3); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func message(typ uint16, pid uint32, data []byte) netlink.Message {
	return netlink.Message{Data: data, Header: netlink.Header{
		Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | typ), PID: pid}}
}
