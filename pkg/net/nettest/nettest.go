// Package nettest gives tests a network of their own: the test binary runs
// again in new network and mount namespaces, in which it may make links, rules
// and mounts that nobody else sees and that vanish with it.
package nettest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/netns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const marker = "BERTH_NETTEST"

// Main is what TestMain is to call.
func Main(m *testing.M) {
	switch os.Getenv(marker) {
	case "enter":
		os.Exit(inside(m))
	case "entered": // what fuzzes for a test that is there
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), marker+"=enter")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "entering namespaces for the test:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func inside(m *testing.M) int {
	for _, step := range []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") },
		// sysfs shows the network namespace that it was mounted from.
		func() error { return unix.Mount("sysfs", "/sys", "sysfs", 0, "") },
		func() error { return bridge.LoopbackUp("/proc/self/ns/net") },
		func() error { return os.Setenv(marker, "entered") },
	} {
		if err := step(); err != nil {
			fmt.Fprintln(os.Stderr, "preparing namespaces for the test:", err)
			return 1
		}
	}
	return m.Run()
}

// Host is a namespace that stands for another computer.
type Host struct {
	Path string // of its network namespace
	Dev  string // name of our end of the cable to it
}

// NewHost makes one, joined to us by a cable: local and remote are the two
// ends' addresses with length. It routes everything through us.
func NewHost(t testing.TB, name, local, remote string) *Host {
	t.Helper()
	h := &Host{Path: filepath.Join(t.TempDir(), name), Dev: name}
	must(t, bridge.CreateNetNS(h.Path))
	t.Cleanup(func() { must(t, bridge.DeleteNetNS(h.Path)) })
	ns, err := os.Open(h.Path)
	must(t, err)
	defer ns.Close()
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: name, TxQLen: -1})
	veth.PeerName, veth.PeerNamespace = "eth0", netlink.NsFd(int(ns.Fd()))
	must(t, netlink.LinkAdd(veth))
	t.Cleanup(func() { must(t, netlink.LinkDel(veth)) })
	gw := configure(t, name, local)
	must(t, netns.At(h.Path, func() error {
		configure(t, "eth0", remote)
		return netlink.RouteAdd(&netlink.Route{Gw: gw})
	}))
	// Asking makes the kernel act on the new carrier at once; the first packet
	// would be lost otherwise.
	_, err = netlink.LinkByName(name)
	must(t, err)
	return h
}

func configure(t testing.TB, dev, addr string) net.IP {
	t.Helper()
	l, err := netlink.LinkByName(dev)
	must(t, err)
	a, err := netlink.ParseAddr(addr)
	must(t, err)
	must(t, netlink.AddrAdd(l, a))
	must(t, netlink.LinkSetUp(l))
	return a.IP
}

// NetNS makes a network namespace like a container's and gives its path.
func NetNS(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "netns")
	must(t, bridge.CreateNetNS(path))
	t.Cleanup(func() { must(t, bridge.DeleteNetNS(path)) })
	return path
}

// In runs f in the namespace at path; sockets that it opens stay there.
func In(t testing.TB, path string, f func() error) {
	t.Helper()
	must(t, netns.At(path, f))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
