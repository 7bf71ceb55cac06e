package events

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

func message(action string) events.Message {
	return events.Message{Type: events.ContainerEventType, Action: events.Action(action), Actor: events.Actor{ID: "0123456789ab"}}
}

// replay returns the remembered actions between two times.
func replay(t *testing.T, b *Bus, since, until time.Time, f filters.Args) (actions []string) {
	t.Helper()
	if until.IsZero() {
		until = time.Now()
	}
	err := b.Subscribe(t.Context(), since, until, f, nil, func(m events.Message) error {
		actions = append(actions, string(m.Action))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return actions
}

func TestPublishSetsTime(t *testing.T) {
	var b Bus
	fixed := time.Now().Add(-time.Hour)
	b.Publish(events.Message{Action: "own", TimeNano: fixed.UnixNano()})
	b.Publish(events.Message{Action: "earlier", TimeNano: fixed.UnixNano() - 5, Scope: "swarm"})
	b.Publish(events.Message{Action: "now"})
	for i, want := range []struct {
		action, scope string
		nano          int64
	}{{"own", "local", fixed.UnixNano()}, {"earlier", "swarm", fixed.UnixNano() + 1}, {"now", "local", b.last}} {
		m := b.ring[i]
		if string(m.Action) != want.action || m.Scope != want.scope || m.TimeNano != want.nano || m.Time != m.TimeNano/1e9 {
			t.Errorf("%+v, want %+v", m, want)
		}
	}
	if d := time.Since(time.Unix(0, b.last)); d < 0 || d > time.Minute {
		t.Errorf("now is %s ago", d)
	}
}

func TestReplay(t *testing.T) {
	var b Bus
	begin := time.Now()
	for i := range remembered + 10 {
		b.Publish(message(fmt.Sprint(i)))
	}
	all := replay(t, &b, begin, time.Time{}, nil)
	if len(all) != remembered || all[0] != "10" || all[remembered-1] != "265" {
		t.Errorf("%d events, from %s to %s", len(all), all[0], all[len(all)-1])
	}
	tenth := time.Unix(0, b.ring[b.next].TimeNano)
	if got := replay(t, &b, begin, tenth, nil); !slices.Equal(got, []string{"10"}) {
		t.Errorf("until the first: %v", got)
	}
	last := time.Unix(0, b.last)
	if got := replay(t, &b, last, time.Time{}, nil); !slices.Equal(got, []string{"265"}) {
		t.Errorf("since the last: %v", got)
	}
	if got := replay(t, &b, last.Add(1), time.Time{}, nil); got != nil {
		t.Errorf("after the last: %v", got)
	}
	if got := replay(t, &b, time.Time{}, tenth, nil); !slices.Equal(got, []string{"10"}) {
		t.Errorf("until only: %v", got)
	}
	if got := replay(t, &b, begin, time.Time{}, filters.Args{"event": {"42"}}); !slices.Equal(got, []string{"42"}) {
		t.Errorf("filtered: %v", got)
	}
}

// follow subscribes in the background, and returns when events go there.
func follow(ctx context.Context, b *Bus, since, until time.Time, f filters.Args, each func(events.Message) error) <-chan error {
	done, registered := make(chan error, 1), make(chan struct{})
	go func() {
		done <- b.Subscribe(ctx, since, until, f, func() { close(registered) }, each)
	}()
	<-registered
	return done
}

func TestFollow(t *testing.T) {
	var b Bus
	b.Publish(message("before"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan string, 10)
	done := follow(ctx, &b, time.Time{}, time.Time{}, filters.Args{"event": {"before", "one", "two"}}, func(m events.Message) error {
		got <- string(m.Action)
		return nil
	})
	for _, a := range []string{"one", "other", "two"} {
		b.Publish(message(a))
	}
	if a, c := <-got, <-got; a != "one" || c != "two" {
		t.Errorf("got %s, %s", a, c)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if len(b.subscribers) != 0 {
		t.Error("the subscriber is left")
	}
}

func TestFollowUntil(t *testing.T) {
	var b Bus
	until := time.Now().Add(50 * time.Millisecond)
	count := 0
	done := follow(t.Context(), &b, time.Time{}, until, nil, func(events.Message) error { count++; return nil })
	b.Publish(message("in time"))
	if err := <-done; err != nil || count != 1 {
		t.Errorf("%d events, %v", count, err)
	}
}

// An event after until ends the stream, and is not in it.
func TestEventAfterUntil(t *testing.T) {
	var b Bus
	until := time.Now().Add(time.Hour)
	count := 0
	done := follow(t.Context(), &b, time.Time{}, until, nil, func(events.Message) error { count++; return nil })
	b.Publish(events.Message{TimeNano: until.UnixNano()})
	b.Publish(events.Message{TimeNano: until.UnixNano() + 1})
	if err := <-done; err != nil || count != 1 {
		t.Errorf("%d events, %v", count, err)
	}
}

func TestSlowSubscriber(t *testing.T) {
	var b Bus
	entered, release := make(chan struct{}), make(chan struct{})
	count := 0
	done := follow(t.Context(), &b, time.Time{}, time.Time{}, nil, func(events.Message) error {
		if count++; count == 1 {
			close(entered)
			<-release
		}
		return nil
	})
	b.Publish(message("first"))
	<-entered
	for range queued + 1 { // none of them waits
		b.Publish(message("more"))
	}
	close(release)
	if err := <-done; !errdefs.IsUnavailable(err) || count != queued+1 {
		t.Errorf("%d events, %v", count, err)
	}
}

func TestEachFails(t *testing.T) {
	var b Bus
	b.Publish(message("one"))
	broken := errors.New("broken pipe")
	err := b.Subscribe(t.Context(), time.Now().Add(-time.Hour), time.Time{}, nil, nil, func(events.Message) error { return broken })
	if !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestMatch(t *testing.T) {
	start := events.Message{
		Type: events.ContainerEventType, Action: events.ActionStart, Scope: "local",
		Actor: events.Actor{ID: "0123456789abcdef", Attributes: map[string]string{
			"name": "web", "image": "docker.io/library/nginx:1.27", "color": "red", "empty": "",
		}},
	}
	exec := start
	exec.Action = "exec_start: sh -c 'echo start'"
	health := start
	health.Action = events.ActionHealthStatusHealthy
	pull := events.Message{
		Type: events.ImageEventType, Action: events.ActionPull, Scope: "local",
		Actor: events.Actor{ID: "example.org:5000/a/b:2", Attributes: map[string]string{"name": "example.org:5000/a/b"}},
	}
	daemon := events.Message{Type: events.DaemonEventType, Action: events.ActionReload, Actor: events.Actor{ID: "uuid", Attributes: map[string]string{"name": "host"}}}
	for _, c := range []struct {
		filter string
		m      events.Message
		want   bool
	}{
		{``, start, true},
		{`{"container":["web"]}`, start, true},
		{`{"container":["0123"]}`, start, true},
		{`{"container":["we"]}`, start, true}, // Docker matches prefixes of names
		{`{"container":["db"]}`, start, false},
		{`{"container":["db","web"]}`, start, true},
		{`{"container":{"web":true}}`, start, true},
		{`{"type":["container"]}`, start, true},
		{`{"type":["image"]}`, start, false},
		{`{"event":["start"]}`, start, true},
		{`{"event":["sta"]}`, start, false},
		{`{"event":["start"]}`, exec, false},
		{`{"event":["exec_start"]}`, exec, true},
		{`{"event":["exec_create"]}`, exec, false},
		{`{"event":["exec_start: sh -c 'echo start'"]}`, exec, true},
		{`{"event":["health_status"]}`, health, true},
		{`{"event":["health_status: unhealthy"]}`, health, false},
		{`{"type":["container"],"event":["die"]}`, start, false},
		{`{"image":["nginx"]}`, start, true},
		{`{"image":["docker.io/library/nginx:1.27"]}`, start, true},
		{`{"image":["nginx:1.26"]}`, start, false},
		{`{"image":["example.org:5000/a/b"]}`, pull, true},
		{`{"image":["example.org:5000/a/b:2"]}`, pull, true},
		{`{"image":["b"]}`, pull, false},
		{`{"label":["color"]}`, start, true},
		{`{"label":["color=red"]}`, start, true},
		{`{"label":["color=red","empty="]}`, start, true},
		{`{"label":["color=blue"]}`, start, false},
		{`{"label":["shape"]}`, start, false},
		{`{"scope":["local"]}`, start, true},
		{`{"scope":["swarm"]}`, start, false},
		{`{"daemon":["host"]}`, daemon, true},
		{`{"daemon":["host"]}`, start, false},
		{`{"network":["bridge"]}`, start, false},
	} {
		f, err := filters.Parse(c.filter)
		if err != nil {
			t.Fatal(err)
		}
		if got := match(f, c.m); got != c.want {
			t.Errorf("%s on %s %s: %v", c.filter, c.m.Type, c.m.Action, got)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("nginx", "docker.io/library/nginx:latest", "start")
	f.Fuzz(func(t *testing.T, want, name, action string) {
		m := message(action)
		m.Actor.Attributes = map[string]string{"name": name, "image": name}
		exact := filters.Args{"image": {name}, "container": {name}, "event": {action}}
		if !match(exact, m) {
			t.Errorf("%v does not match %+v", exact, m)
		}
		match(filters.Args{"image": {want}, "event": {want}, "label": {want}, "container": {want}}, m)
	})
}

func BenchmarkPublish(b *testing.B) {
	var bus Bus
	for b.Loop() {
		bus.Publish(message("start"))
	}
}
