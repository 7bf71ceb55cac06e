package bridge_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/netns"
	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { nettest.Main(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMAC(t *testing.T) {
	for ip, want := range map[string]string{"172.17.0.2": "02:42:ac:11:00:02", "fd00::1:203": "02:42:00:01:02:03"} {
		if got := bridge.MAC(netip.MustParseAddr(ip)).String(); got != want {
			t.Errorf("%s: %s", ip, got)
		}
	}
}

func TestHostName(t *testing.T) {
	seen := map[string]bool{}
	for _, id := range []string{"a", "b"} {
		for _, dev := range []string{"eth0", "eth1"} {
			seen[bridge.HostName(id, dev)] = true
		}
	}
	for n := range seen {
		if len(n) != 15 {
			t.Errorf("%q is not 15 bytes", n)
		}
	}
	if len(seen) != 4 {
		t.Errorf("not unique: %v", seen)
	}
}

func TestNetNS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ns")
	must(t, bridge.CreateNetNS(path))
	if err := bridge.CreateNetNS(path); err == nil {
		t.Error("made twice")
	}
	var here, there unix.Stat_t
	must(t, unix.Stat("/proc/thread-self/ns/net", &here))
	must(t, netns.At(path, func() error { return unix.Stat("/proc/thread-self/ns/net", &there) }))
	if here.Ino == there.Ino {
		t.Error("it is our own namespace")
	}
	must(t, unix.Stat("/proc/thread-self/ns/net", &there))
	if here.Ino != there.Ino {
		t.Error("a thread did not come back")
	}
	for range 2 {
		must(t, bridge.DeleteNetNS(path))
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the pin is left")
	}
	if err := bridge.CreateNetNS(filepath.Join(path, "no", "folder")); err == nil {
		t.Error("made without a folder")
	}
}

func TestEnsure(t *testing.T) {
	b := bridge.Bridge{Name: "br-test", MTU: 1400, Gateways: []netip.Prefix{netip.MustParsePrefix("10.3.0.1/24")}}
	t.Cleanup(func() { must(t, b.Delete()) })
	first, err := b.Ensure()
	must(t, err)
	again, err := b.Ensure()
	must(t, err)
	index, err := b.Index()
	must(t, err)
	if first != again || first != index {
		t.Errorf("indices %d, %d, %d", first, again, index)
	}
	if got, err := bridge.Existing(b.Name, true); err != nil || got.String() != "10.3.0.1/24" {
		t.Errorf("existing: %v, %v", got, err)
	}
	if _, err := bridge.Existing("nope", true); !errdefs.IsNotFound(err) {
		t.Errorf("existing: %v", err)
	}
	other := bridge.Bridge{Name: "lo"}
	if _, err := other.Ensure(); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("lo as a bridge: %v", err)
	}
}

// Many at a time: each is gone when Delete returns.
func TestDeleter(t *testing.T) {
	d, err := bridge.NewDeleter()
	must(t, err)
	var wg sync.WaitGroup
	for i := range 16 {
		name := fmt.Sprintf("v%d", i)
		veth := netlink.NewVeth(netlink.LinkAttrs{Name: name, TxQLen: -1})
		veth.PeerName = name + "p"
		must(t, netlink.LinkAdd(veth))
		for range 2 { // two callers for one interface
			wg.Go(func() {
				if err := d.Delete(name); err != nil {
					t.Error(err)
				}
				for _, n := range []string{name, name + "p"} {
					if _, err := netlink.LinkByName(n); err == nil {
						t.Errorf("%s is left", n)
					}
				}
			})
		}
	}
	wg.Wait()
	must(t, d.Delete("nope"))
	must(t, d.Close())
}

// What a crash left under an endpoint's name does not stop the endpoint.
func TestEndpointAgain(t *testing.T) {
	b := bridge.Bridge{Name: "br-test", Gateways: []netip.Prefix{netip.MustParsePrefix("10.3.0.1/24")}}
	t.Cleanup(func() { must(t, b.Delete()) })
	index, err := b.Ensure()
	must(t, err)
	for i := range 2 {
		ns := filepath.Join(t.TempDir(), fmt.Sprint(i))
		must(t, bridge.CreateNetNS(ns))
		t.Cleanup(func() { must(t, bridge.DeleteNetNS(ns)) })
		e := bridge.Endpoint{HostName: bridge.HostName("c", "eth0"), Name: "eth0", NetNS: ns, Bridge: index,
			MAC: bridge.MAC(netip.MustParseAddr("10.3.0.2")), Addrs: []netip.Prefix{netip.MustParsePrefix("10.3.0.2/24")},
			Gateways: []netip.Addr{netip.MustParseAddr("10.3.0.1")}, Hairpin: true}
		must(t, e.Add())
		must(t, e.Check())
		bad := e
		bad.Addrs = []netip.Prefix{netip.MustParsePrefix("10.3.0.9/24")}
		if err := bad.Check(); err == nil {
			t.Error("an address that is not there was found")
		}
	}
	ends, err := bridge.Endpoints(b.Name)
	if err != nil || len(ends) != 1 {
		t.Errorf("endpoints: %v, %v", ends, err)
	}
	must(t, bridge.DeleteLink(ends[0]))
}
