package api_test

import (
	"errors"
	"io"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/engine"
)

func TestLogs(t *testing.T) {
	f := newFakes()
	s := newServer(t, f.routes())
	for _, c := range []struct {
		name, version string
		tty           bool
		err           error
		contentType   string
		body          string
	}{
		{"multiplexed", "/v1.42", false, nil, "application/vnd.docker.multiplexed-stream", "x"},
		{"terminal", "/v1.42", true, nil, "application/vnd.docker.raw-stream", "x"},
		{"old", "/v1.41", false, nil, "application/vnd.docker.raw-stream", "x"},
		{"broken", "/v1.42", false, errors.New("disk"), "application/vnd.docker.multiplexed-stream", "x\x03\x00\x00\x00\x00\x00\x00\x1aError grabbing logs: disk\n"},
		{"broken terminal", "/v1.42", true, errors.New("disk"), "application/vnd.docker.raw-stream", "xError grabbing logs: disk\n"},
	} {
		for _, follow := range []string{"", "&follow=1"} {
			t.Run(c.name+follow, func(t *testing.T) {
				f.engine.logs = func(open engine.OpenWriter) error {
					w, err := open(c.tty)
					if err != nil {
						return err
					}
					if _, err := io.WriteString(w, "x"); err != nil {
						return err
					}
					return c.err
				}
				resp, body := do(t, s, "GET", c.version+"/containers/web/logs?stdout=1"+follow, "")
				if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != c.contentType || body != c.body {
					t.Errorf("%d %s %q", resp.StatusCode, resp.Header.Get("Content-Type"), body)
				}
			})
		}
	}
}

func TestLogsOptions(t *testing.T) {
	f := newFakes()
	s := newServer(t, f.routes())
	for query, want := range map[string]engine.LogsOptions{
		"stdout=1":                      {Stdout: true, Tail: -1},
		"stderr=true&tail=all":          {Stderr: true, Tail: -1},
		"stdout=1&tail=0":               {Stdout: true, Tail: 0},
		"stdout=1&tail=12&follow=1":     {Stdout: true, Tail: 12, Follow: true},
		"stdout=1&tail=-5":              {Stdout: true, Tail: -1},
		"stdout=1&tail=x":               {Stdout: true, Tail: -1},
		"stdout=1&timestamps&details=1": {Stdout: true, Tail: -1, Details: true},
		"stdout=1&timestamps=1":         {Stdout: true, Tail: -1, Timestamps: true},
		"stdout=1&since=5.000000001":    {Stdout: true, Tail: -1, Since: time.Unix(5, 1)},
		"stdout=1&since=5.1&until=0":    {Stdout: true, Tail: -1, Since: time.Unix(5, 100000000)},
		"stdout=1&until=9":              {Stdout: true, Tail: -1, Until: time.Unix(9, 0)},
	} {
		if resp, body := do(t, s, "GET", "/containers/web/logs?"+query, ""); resp.StatusCode != 200 {
			t.Fatalf("%s: %s", query, body)
		}
		if f.engine.logged != want {
			t.Errorf("%s: %+v, want %+v", query, f.engine.logged, want)
		}
	}
}

func TestEvents(t *testing.T) {
	const (
		start  = `{"Type":"container","Action":"start","Actor":{"ID":"` + someID + `","Attributes":{"image":"busybox"}},"scope":"local","time":1,"timeNano":1}`
		create = `{"Type":"image","Action":"create","Actor":{"ID":"busybox","Attributes":null},"scope":"local","time":2,"timeNano":2}`
		old    = `{"Action":"start","Actor":{"ID":"` + someID + `","Attributes":{"image":"busybox"}},"Type":"container","from":"busybox","id":"` + someID + `","scope":"local","status":"start","time":1,"timeNano":1}`
		oldImg = `{"Action":"create","Actor":{"ID":"busybox","Attributes":null},"Type":"image","id":"busybox","scope":"local","status":"create","time":2,"timeNano":2}`
	)
	s := newServer(t, newFakes().routes())
	for _, c := range []struct{ version, accept, contentType, body string }{
		{"/v1.55", "", "application/json", start + "\n" + create + "\n"},
		{"/v1.55", "*/*", "application/json", start + "\n" + create + "\n"},
		{"/v1.55", "application/jsonl", "application/jsonl", start + "\n" + create + "\n"},
		{"/v1.55", "text/html, application/x-ndjson;q=0.9, application/json-seq;q=0.5", "application/x-ndjson", start + "\n" + create + "\n"},
		{"/v1.55", "application/json-seq", "application/json-seq", "\x1e" + start + "\n\x1e" + create + "\n"},
		{"/v1.55", "application/json-seq;q=x, ;;", "application/json", start + "\n" + create + "\n"},
		{"/v1.51", "", "application/json", old + "\n" + oldImg + "\n"},
		{"/v1.45", "", "application/json", old + "\n"},
	} {
		r := httptest.NewRequest("GET", c.version+"/events?since=0", nil)
		r.Header.Set("Accept", c.accept)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Header().Get("Content-Type") != c.contentType || w.Body.String() != c.body {
			t.Errorf("%s %q: %s\n%q, want\n%q", c.version, c.accept, w.Header().Get("Content-Type"), w.Body, c.body)
		}
	}
}

func TestEventTimes(t *testing.T) {
	f := newFakes()
	s := newServer(t, f.routes())
	do(t, s, "GET", "/events?since=0&until=1.5", "")
	if !f.daemon.since.Equal(time.Unix(0, 0)) || f.daemon.since.IsZero() || !f.daemon.until.Equal(time.Unix(1, 500000000)) {
		t.Errorf("since %v until %v", f.daemon.since, f.daemon.until)
	}
	do(t, s, "GET", "/events", "")
	if !f.daemon.since.IsZero() || !f.daemon.until.IsZero() {
		t.Errorf("since %v until %v", f.daemon.since, f.daemon.until)
	}
}
