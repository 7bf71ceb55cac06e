package sandbox

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-engine/berth/pkg/net/define"
	"github.com/moby/moby/api/types/network"
)

// TestOrder: which endpoint has the default route, and what interfaces are called.
func TestOrder(t *testing.T) {
	e := func(net string, outward bool, priority int, want string) Endpoint {
		return Endpoint{Network: net, Outward: outward, Prefix: "eth", Options: define.Endpoint{IfName: want},
			Settings: &network.EndpointSettings{GwPriority: priority}}
	}
	s := &Sandbox{ID: "c", Endpoints: []Endpoint{
		e("inside", false, 9, ""), e("b", true, 0, "lan0"), e("a", true, 0, ""), e("first", true, 1, "")}}
	s.Order()
	for i, want := range []struct{ net, name string }{{"first", "eth0"}, {"a", "eth1"}, {"b", "lan0"}, {"inside", "eth2"}} {
		if err := s.NameInterface(i); err != nil {
			t.Fatal(err)
		}
		if got := s.Endpoints[i]; got.Network != want.net || got.IfName != want.name {
			t.Errorf("%d: %s of %s, want %s of %s", i, got.IfName, got.Network, want.name, want.net)
		}
	}
	s.Endpoints = append(s.Endpoints, e("c", true, 0, "lan0"))
	if err := s.NameInterface(4); err == nil {
		t.Error("an interface's name was given twice")
	}
	if p := s.Publisher(); p != "c/eth0" {
		t.Errorf("ports are published by %q", p)
	}
	s.Endpoints[0].Outward = false
	if p := s.Publisher(); p != "" {
		t.Errorf("ports are published by %q", p)
	}
}

// TestStore: what one process wrote the next one reads; what cannot be read stands
// for what is to be removed.
func TestStore(t *testing.T) {
	dir := t.TempDir()
	open := func() *Store {
		t.Helper()
		b, err := Load(dir, func(id string) string { return "/pins/" + id }, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := open()
	for _, id := range []string{"whole", "broken", "other", "gone"} {
		if err := b.Put(&Sandbox{ID: id, Key: "key", Ready: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Remove("gone"); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"broken.json": "{", "other.json": `{"id":"whole"}`, ".tmp-1": "{}"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b = open()
	for id, key := range map[string]string{"whole": "key", "broken": "/pins/broken", "other": "/pins/other"} {
		if s, ok := b.Get(id); !ok || s.ID != id || s.Key != key || s.Ready != (id == "whole") {
			t.Errorf("%s: %+v", id, s)
		}
	}
	if n := len(b.All()); n != 3 {
		t.Errorf("%d records", n)
	}
	if _, err := os.Stat(filepath.Join(dir, ".tmp-1")); err == nil {
		t.Error("what a crash left is there")
	}
}
