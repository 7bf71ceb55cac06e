package shim_test

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/berth-engine/berth/pkg/net/records"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
)

// named prepares a network namespace and records for the rig's container.
func (r *rig) named() *streams.Names {
	r.t.Helper()
	n := &streams.Names{NetNS: nettest.NetNS(r.t)}
	rec, err := records.Open(filepath.Join(r.dir, "names"))
	r.must(err)
	r.must(rec.Put(context.Background(), records.Sandbox{ID: r.id, Endpoints: []records.Endpoint{
		{Network: "front", Addrs: []netip.Addr{netip.MustParseAddr("172.18.0.2")}, Names: []string{"web"}}}}))
	n.View = rec.Path(r.id)
	return n
}

// The container's names are answered from its first process's first moment to
// its deletion.
func TestNames(t *testing.T) {
	r := newRig(t)
	c := r.config()
	c.Names = r.named()
	r.inNetNS = c.Names.NetNS
	r.create(c, "nslookup", "web.front", "127.0.0.11")
	r.run("")
	if code := r.end(); code != 0 {
		t.Errorf("nslookup ended with %d", code)
	}
	if out, errs := r.logged(); !strings.Contains(out, "Address 1: 172.18.0.2") && !strings.Contains(out, "Address: 172.18.0.2") {
		t.Errorf("nslookup said %q, %q", out, errs)
	}
}

// A container that is connected to a network with names after its start.
func TestNamesRefresh(t *testing.T) {
	r := newRig(t)
	c := r.config()
	c.Names = r.named()
	r.inNetNS = c.Names.NetNS
	rec, err := records.Open(filepath.Join(r.dir, "names"))
	r.must(err)
	r.must(rec.Put(t.Context(), records.Sandbox{ID: r.id, Endpoints: []records.Endpoint{{Network: "bridge", Plain: true}}}))
	r.create(c, "sleep", "1000")
	r.run("")
	ask := func(exec string) int {
		r.exec(exec, c, "nslookup", "-type=a", "late", "127.0.0.11")
		r.run(exec)
		defer r.delete(exec)
		return r.wait(exec)
	}
	if ask("early") == 0 {
		t.Error("a name is answered on a network without names")
	}
	r.must(rec.Put(t.Context(), records.Sandbox{ID: r.id, Endpoints: []records.Endpoint{
		{Network: "front", Addrs: []netip.Addr{netip.MustParseAddr("172.18.0.2")}, Names: []string{"late"}}}}))
	r.must(streams.RefreshNames(t.Context(), r.socket))
	if code := ask("late"); code != 0 {
		t.Errorf("after the connection nslookup ended with %d", code)
	}
	r.kill()
	r.end()
	if err := streams.RefreshNames(t.Context(), r.socket); !errdefs.IsNotFound(err) {
		t.Errorf("after the container's end: %v", err)
	}
}

// A container whose names cannot be answered is not made, and nothing of it is left.
func TestNamesFail(t *testing.T) {
	r := newRig(t)
	r.start(false, "sleep", "1000")
	c := r.config()
	good := r.named()
	c.Names = &streams.Names{NetNS: filepath.Join(r.dir, "none"), View: good.View}
	if err := r.createErr(c); err == nil || !strings.Contains(err.Error(), "none: no such file") {
		t.Fatalf("got %v", err)
	}
	c.Names = good
	r.must(r.createErr(c))
	r.run("")
	r.kill()
	r.end()
}
