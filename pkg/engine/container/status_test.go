package container

import (
	"reflect"
	"testing"
	"time"

	ctypes "github.com/moby/moby/api/types/container"
)

var states = []State{Created, Running, Paused, Restarting, Removing, Exited, Dead}

// TestTransitions tries every transition from every state: those that the table
// allows give the state, the others panic.
func TestTransitions(t *testing.T) {
	allowed := map[State]map[string]State{
		Created:    {"start": Running, "fail": Created, "retry": Restarting, "leave": Removing},
		Running:    {"end": Exited, "retry": Restarting, "suspend": Paused, "fail": Running},
		Paused:     {"end": Exited, "retry": Restarting, "resume": Running, "start": Running, "fail": Paused},
		Restarting: {"start": Running, "end": Exited, "retry": Restarting, "fail": Exited, "resume": Running},
		Exited:     {"start": Running, "end": Exited, "retry": Restarting, "leave": Removing, "fail": Exited, "resume": Running},
		Removing:   {"stick": Dead, "fail": Removing},
		Dead:       {"leave": Removing, "fail": Dead},
	}
	// What no guard lets happen, but the table has no need to forbid.
	allowed[Created]["resume"] = Running
	now := time.Unix(1, 0)
	moves := map[string]func(Status) Status{
		"start":   func(s Status) Status { return s.Started(7, now, Sandbox{Key: "ns"}) },
		"end":     func(s Status) Status { return s.Ended(Exit{Code: 3, At: now}) },
		"retry":   func(s Status) Status { return s.Retrying(Exit{Code: 3, At: now}) },
		"fail":    func(s Status) Status { return s.Failed(127, "no such file") },
		"suspend": Status.Suspended,
		"resume":  Status.Resumed,
		"leave":   Status.Leaving,
		"stick":   func(s Status) Status { return s.Stuck("busy") },
	}
	for _, from := range states {
		for name, move := range moves {
			to, ok := try(move, Status{State: from})
			want, may := allowed[from][name]
			if ok != may || ok && to.State != want {
				t.Errorf("%s of %s: got %q (%v), want %q (%v)", name, from, to.State, ok, want, may)
			}
		}
	}
}

func try(move func(Status) Status, s Status) (_ Status, ok bool) {
	defer func() { ok = recover() == nil }()
	return move(s), true
}

func TestLifeOfAStatus(t *testing.T) {
	start, end := time.Unix(10, 0), time.Unix(20, 0)
	s := Status{State: Created}.Started(7, start, Sandbox{Key: "ns"})
	if !s.Live() || s.Pid != 7 || s.Sandbox.Key != "ns" {
		t.Errorf("started: %+v", s)
	}
	s = s.Retrying(Exit{Code: 1, At: end})
	if s.Live() || !s.Active() || s.Pid != 0 || s.RestartCount != 1 || s.Stops != 1 || s.Sandbox.Key != "" {
		t.Errorf("retrying: %+v", s)
	}
	s = s.Started(8, start, Sandbox{}).Ended(Exit{Code: 0, At: end})
	if s.Active() || s.Stops != 2 || s.RestartCount != 1 || !s.FinishedAt.Equal(end) {
		t.Errorf("ended: %+v", s)
	}
	s = s.Failed(127, "no such file")
	if s.State != Exited || s.ExitCode != 127 || s.Error == "" {
		t.Errorf("failed: %+v", s)
	}
	api := s.API()
	want := &ctypes.State{
		Status: "exited", ExitCode: 127, Error: "no such file",
		StartedAt: "1970-01-01T00:00:10Z", FinishedAt: "1970-01-01T00:00:20Z",
	}
	if !reflect.DeepEqual(api, want) {
		t.Errorf("API form %+v", api)
	}
	if zero := (Status{State: Created}).API().StartedAt; zero != "0001-01-01T00:00:00Z" {
		t.Errorf("never started: %s", zero)
	}
}

func TestEncode(t *testing.T) {
	r := &Record{ID: "abc", Name: "web", Config: &ctypes.Config{Image: "i"}, HostConfig: &ctypes.HostConfig{}, Created: time.Unix(1, 2).UTC()}
	b, err := Encode(r, Status{State: Exited, ExitCode: 3, Ending: &Exit{Code: 3, At: time.Unix(3, 0).UTC()}})
	if err != nil {
		t.Fatal(err)
	}
	got, status, err := Decode(b)
	if err != nil || !reflect.DeepEqual(got, r) || status.ExitCode != 3 || status.Ending.Code != 3 {
		t.Errorf("%+v %+v %v", got, status, err)
	}
	for _, bad := range []string{``, `{}`, `null`, `{"Record":{"ID":"a"}}`, `[`} {
		if _, _, err := Decode([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"Record":{"ID":"a","Config":{},"HostConfig":{}},"Status":{"State":"exited"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, _, err := Decode(b); err == nil && (r.Config == nil || r.HostConfig == nil) {
			t.Error("an incomplete record was read")
		}
	})
}
