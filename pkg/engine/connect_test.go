package engine

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// networksOf are those of a container's record, by name.
func networksOf(t *testing.T, e *Engine, id string) []string {
	t.Helper()
	u, err := e.units.Find(id)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(u.View().Record.Endpoints))
}

// A connection is in the sandbox at once, and on disk before the answer.
func TestConnectRunning(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.run(e)
	w.journal.take()
	boom := errors.New("boom")
	w.journal.failing("connect", boom)
	if err := e.Endpoints().Connect(t.Context(), "app", id, nil); !errors.Is(err, boom) {
		t.Errorf("a connection that fails: %v", err)
	}
	if got := networksOf(t, e, id); !slices.Equal(got, []string{"bridge"}) {
		t.Errorf("after it: %v", got)
	}
	w.journal.failing("connect", nil)
	if err := e.Endpoints().Connect(t.Context(), "app", id, &network.EndpointSettings{Aliases: []string{"a"}}); err != nil {
		t.Fatal(err)
	}
	if got := w.status(e, id).Sandbox.Endpoints["app"]; got == nil || !slices.Equal(got.DNSNames, []string{"web", "a", id[:12]}) {
		t.Errorf("endpoint %+v", got)
	}
	record, _, err := container.Decode(w.store.records[id])
	if err != nil || len(record.Endpoints) != 2 || len(record.Endpoints["app"].DNSNames) != 0 {
		t.Errorf("record %+v, %v", record.Endpoints, err)
	}
	if err := e.Endpoints().Disconnect(t.Context(), "bridge", id, false); err != nil {
		t.Fatal(err)
	}
	if got := networksOf(t, e, id); !slices.Equal(got, []string{"app"}) {
		t.Errorf("disconnected: %v", got)
	}
	if err := e.Endpoints().Disconnect(t.Context(), "bridge", id, true); !errdefs.IsNotFound(err) {
		t.Errorf("again: %v", err)
	}
	if got := w.journal.only("connect", "disconnect"); got != "connect connect disconnect" {
		t.Errorf("asked for %q", got)
	}
}

// What cannot be recorded did not happen, whether the container runs or not.
func TestConnectUnrecorded(t *testing.T) {
	for _, live := range []bool{true, false} {
		w := newWorld(t)
		e := w.engine()
		id := w.create(e)
		if live {
			if err := e.Start(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Endpoints().Connect(t.Context(), "app", id, nil); err != nil {
			t.Fatal(err)
		}
		w.journal.take()
		full := errors.New("no space left")
		w.journal.failing("store-put", full)
		want := map[bool]string{true: "connect disconnect", false: ""}[live]
		if err := e.Endpoints().Connect(t.Context(), "more", id, nil); !errors.Is(err, full) {
			t.Errorf("connect: %v", err)
		}
		if got := w.journal.only("connect", "disconnect"); got != want {
			t.Errorf("connect did %q", got)
		}
		want = map[bool]string{true: "disconnect connect", false: ""}[live]
		if err := e.Endpoints().Disconnect(t.Context(), "app", id, false); !errors.Is(err, full) {
			t.Errorf("disconnect: %v", err)
		}
		if got := w.journal.only("connect", "disconnect"); got != want {
			t.Errorf("disconnect did %q", got)
		}
		if got := networksOf(t, e, id); !slices.Equal(got, []string{"app", "bridge"}) {
			t.Errorf("connected to %v", got)
		}
		w.journal.failing("store-put", nil)
		for _, name := range []string{"app", "bridge"} { // and it can be asked for again
			if err := e.Endpoints().Disconnect(t.Context(), name, id, false); err != nil {
				t.Error(err)
			}
		}
		if err := e.Endpoints().Connect(t.Context(), "more", id, nil); err != nil {
			t.Error(err)
		}
		e.Close()
		if got := networksOf(t, w.engine(), id); !slices.Equal(got, []string{"more"}) {
			t.Errorf("recorded: %v", got)
		}
	}
}

// A container at rest is connected by its record alone.
func TestConnectStopped(t *testing.T) {
	w := newWorld(t)
	e := w.engine()
	id := w.create(e)
	w.journal.take()
	for range 2 {
		if err := e.Endpoints().Connect(t.Context(), "app", id, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Endpoints().Disconnect(t.Context(), "bridge", id, false); err != nil {
		t.Fatal(err)
	}
	if got := w.journal.only("connect", "disconnect"); got != "" {
		t.Errorf("asked for %q", got)
	}
	e.Close()
	again := w.engine()
	if got := networksOf(t, again, id); !slices.Equal(got, []string{"app"}) {
		t.Errorf("after a restart: %v", got)
	}
	if err := again.Start(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(w.status(again, id).Sandbox.Endpoints)); !slices.Equal(got, []string{"app"}) {
		t.Errorf("started on %v", got)
	}
}

// joiner makes and starts a container in web's network.
func (w *world) joiner(e *Engine, name, owner string) string {
	w.t.Helper()
	made, err := e.Create(w.t.Context(), CreateRequest{Name: name, Config: &ctypes.Config{Image: "image", Cmd: []string{"run"}},
		HostConfig: &ctypes.HostConfig{NetworkMode: ctypes.NetworkMode("container:" + owner)}})
	if err == nil {
		err = e.Start(w.t.Context(), made.ID)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return made.ID
}

// A network goes with the last one in it, also when its owner ended before, and
// when the engine ended in between.
func TestSharedSandbox(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		w := newWorld(t)
		e := w.engine()
		id := w.run(e)
		one := w.joiner(e, "one", "web")
		two := w.joiner(e, "two", "one") // by one that joined
		if err := e.Endpoints().Connect(t.Context(), "app", two, nil); !errdefs.IsInvalidArgument(err) {
			t.Errorf("connecting one that joined: %v", err)
		}
		w.journal.take()
		ended := func(id string) {
			t.Helper()
			w.tasks.end(id, 0)
			w.await(e, id, is(container.Exited))
		}
		ended(id)
		if got := w.journal.only("teardown"); got != "" {
			t.Error("the network went with its owner")
		}
		if restarted {
			e.Close()
			e = w.engine()
		}
		ended(one)
		if got := w.journal.only("teardown"); got != "" {
			t.Error("the network went before the last one in it")
		}
		ended(two)
		u, err := e.units.Find(id)
		if err != nil {
			t.Fatal(err)
		}
		if err := u.Do(t.Context(), func(context.Context) error { return nil }); err != nil { // behind what the last one left there
			t.Fatal(err)
		}
		if got := w.journal.only("teardown"); got != "teardown" {
			t.Errorf("in the end: %q", got)
		}
	}
}
