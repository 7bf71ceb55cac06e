package net

import (
	"context"
	"log/slog"
	"os"
	"testing"

	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/moby/moby/api/types/network"
)

func TestMain(m *testing.M) { nettest.Main(m) }

func open(t testing.TB, change ...func(*Config)) *Manager {
	t.Helper()
	c := Config{DataRoot: t.TempDir(), ExecRoot: t.TempDir(), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	for _, f := range change {
		f(&c)
	}
	m, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(context.Background(), true); err != nil {
			t.Error(err)
		}
	})
	return m
}

func TestSmoke(t *testing.T) {
	m := open(t)
	key, made, bound, err := m.Setup(t.Context(), "abc", "web", map[string]*network.EndpointSettings{"bridge": nil},
		network.PortMap{network.MustParsePort("80/tcp"): {{HostPort: "8080"}, {}}})
	t.Log(key, made["bridge"], bound, err)
	if err != nil {
		t.Fatal(err)
	}
	in, err := m.Inspect("bridge", false, "")
	t.Logf("%+v %v", in, err)
	if err := m.Teardown(t.Context(), "abc"); err != nil {
		t.Fatal(err)
	}
}
