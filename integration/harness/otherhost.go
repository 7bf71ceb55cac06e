package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netns"
)

// OtherHost is a network namespace that stands for another host on a network of
// this one: a link with two ends, and no route of its own but that link's.
type OtherHost struct {
	t       *testing.T
	ns      netns.NsHandle
	name    string
	Address string // of the other host
	Here    string // this host's address on the link
}

var otherHosts atomic.Uint32

// NewOtherHost makes one until the end of the test.
func NewOtherHost(t *testing.T) *OtherHost {
	t.Helper()
	n, pid := otherHosts.Add(1), os.Getpid()
	subnet := fmt.Sprintf("10.%d.%d", 224+pid%16, n)
	link := fmt.Sprintf("bth%d.%d", pid%100000, n)
	h := &OtherHost{t: t, name: link, Address: subnet + ".2", Here: subnet + ".1"}
	h.ip("netns", "add", h.name)
	t.Cleanup(func() {
		_ = h.ns.Close()
		h.ip("netns", "delete", h.name)
	})
	var err error
	if h.ns, err = netns.GetFromName(h.name); err != nil {
		t.Fatal(err)
	}
	h.ip("link", "add", link, "type", "veth", "peer", "name", "uplink", "netns", h.name)
	// The peer goes with the namespace, but the kernel frees that when it likes.
	t.Cleanup(func() { h.ip("link", "delete", link) })
	h.ip("address", "add", h.Here+"/24", "dev", link)
	h.ip("link", "set", link, "up")
	h.ip("-n", h.name, "address", "add", h.Address+"/24", "dev", "uplink")
	h.ip("-n", h.name, "link", "set", "uplink", "up")
	h.ip("-n", h.name, "link", "set", "lo", "up")
	return h
}

// Link is this host's interface to the other one.
func (h *OtherHost) Link() string { return h.name }

// Route sends a subnet from the other host to this one.
func (h *OtherHost) Route(subnet string) {
	h.t.Helper()
	h.ip("-n", h.name, "route", "add", subnet, "via", h.Here)
}

func (h *OtherHost) ip(args ...string) {
	h.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		h.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// Do runs f, and the sockets that it opens belong to the other host.
func (h *OtherHost) Do(f func()) {
	h.t.Helper()
	done := make(chan error)
	go func() {
		// Never unlocked: the thread is in another namespace and ends with this.
		runtime.LockOSThread()
		err := netns.Set(h.ns)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		h.t.Fatal(err)
	}
}

// start begins a process in the other host's network, or in ours when h is nil.
func (h *OtherHost) start(cmd *exec.Cmd) (err error) {
	if h == nil {
		return cmd.Start()
	}
	h.Do(func() { err = cmd.Start() })
	return err
}

// Run runs a command in the other host's network and returns what it prints.
func (h *OtherHost) Run(name string, args ...string) string {
	h.t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := h.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		h.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out.String())
	}
	return out.String()
}
