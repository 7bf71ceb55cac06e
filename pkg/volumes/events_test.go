package volumes

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/volume"
)

func TestEvents(t *testing.T) {
	ctx := t.Context()
	var seen []string
	s, err := Open(Config{Root: filepath.Join(t.TempDir(), "volumes"), Logger: slog.New(slog.DiscardHandler), Publish: func(m events.Message) {
		seen = append(seen, strings.TrimSpace(fmt.Sprintf("%s %s %s %v", m.Type, m.Action, m.Actor.ID, m.Actor.Attributes)))
	}})
	must(t, err)
	t.Cleanup(s.Close)
	_, err = s.Create(ctx, volume.CreateRequest{Name: "data"})
	must(t, err)
	_, err = s.Create(ctx, volume.CreateRequest{Name: "data"}) // there is nothing to tell of
	must(t, err)
	hc := &container.HostConfig{Binds: []string{"data:/d:ro", "other:/o"}}
	must(t, s.Prepare(ctx, "c", &container.Config{}, hc, nil, nothing))
	_, err = s.Mounts(ctx, "c", &container.Config{}, hc, nil)
	must(t, err)
	_, back, err := s.Borrow(ctx, "c", &container.Config{}, hc, nil) // by cp, not by a container
	must(t, err)
	must(t, back())
	must(t, s.Unmount(ctx, "c"))
	must(t, s.Release(ctx, "c", true))
	must(t, s.Remove(ctx, "data", false))
	_, err = s.Prune(ctx, map[string][]string{"all": {"1"}})
	must(t, err)
	want := `volume create data map[driver:local]
volume create other map[driver:local]
volume mount data map[container:c destination:/d driver:local propagation: read/write:false]
volume mount other map[container:c destination:/o driver:local propagation: read/write:true]
volume unmount data map[container:c driver:local]
volume unmount other map[container:c driver:local]
volume destroy data map[driver:local]
volume destroy other map[driver:local]
volume prune  map[reclaimed:N]`
	got := regexp.MustCompile(`reclaimed:[0-9]+`).ReplaceAllString(strings.Join(seen, "\n"), "reclaimed:N")
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

// Volumes without a name of a container that never came to be are gone after the
// next start; those that a container left when it was removed are not.
func TestUnborn(t *testing.T) {
	ctx, root := t.Context(), filepath.Join(t.TempDir(), "volumes")
	s := open(t, root)
	cfg := &container.Config{Volumes: map[string]struct{}{"/v": {}}}
	named := &container.HostConfig{Binds: []string{"named:/n"}}
	for _, id := range []string{"killed", "born", "left"} {
		must(t, s.Prepare(ctx, id, cfg, named, nil, nothing))
		if id != "killed" {
			must(t, s.Born(id))
		}
	}
	must(t, s.Release(ctx, "left", false))

	s = open(t, root) // killed, and started again: of containers there is "born"
	must(t, s.Reserve("born", cfg, named, nil, false))
	must(t, s.Reconcile(ctx))
	for id, want := range map[string]bool{"killed": false, "born": true, "left": true} {
		if _, err := s.Inspect(anonymousName(id, "/v")); (err == nil) != want {
			t.Errorf("volume of %s: %v", id, err)
		}
	}
	if _, err := s.Inspect("named"); err != nil {
		t.Error(err)
	}
	notes, err := s.unborn.all()
	if must(t, err); len(notes) != 0 {
		t.Errorf("notes %v", notes)
	}
	// The same of one that was being removed with its volumes, and of one that was not
	// removed in the end.
	must(t, s.Prepare(ctx, "stays", cfg, named, nil, nothing))
	must(t, s.Born("stays"))
	must(t, s.Doom("stays"))
	must(t, s.Doom("born"))
	s = open(t, root)
	must(t, s.Reserve("stays", cfg, named, nil, false))
	must(t, s.Reconcile(ctx))
	for id, want := range map[string]bool{"born": false, "left": true, "stays": true} {
		if _, err := s.Inspect(anonymousName(id, "/v")); (err == nil) != want {
			t.Errorf("volume of %s: %v", id, err)
		}
	}
	// Its record was committed and its note not dropped: it has its volume.
	must(t, s.Prepare(ctx, "late", cfg, named, nil, nothing))
	s = open(t, root)
	must(t, s.Reserve("late", cfg, named, nil, false))
	must(t, s.Reconcile(ctx))
	if _, err := s.Inspect(anonymousName("late", "/v")); err != nil {
		t.Error(err)
	}
}
