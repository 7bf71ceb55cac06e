package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	m := New(Config{
		Info: map[string]string{"version": "1"}, Memory: 1 << 30,
		Counts:      func() (int, int, int) { return 3, 1, 2 },
		Published:   func() uint64 { return 7 },
		Subscribers: func() int { return 4 },
	})
	m.Observe("ContainerStart", 204, 30*time.Millisecond)
	m.Observe("ContainerStart", 404, time.Millisecond)
	m.Observe("SystemInfo", 200, time.Millisecond)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range []string{
		`engine_daemon_container_states_containers{state="running"} 3`,
		`engine_daemon_container_states_containers{state="paused"} 1`,
		`engine_daemon_container_states_containers{state="stopped"} 2`,
		`engine_daemon_container_actions_seconds_count{action="start"} 1`,
		`engine_daemon_container_actions_seconds_count{action="create"} 0`,
		`engine_daemon_engine_info{version="1"} 1`,
		`engine_daemon_engine_memory_bytes 1.073741824e+09`,
		`engine_daemon_events_total 7`,
		`engine_daemon_events_subscribers_total 4`,
		`berth_api_request_seconds_count{code="404",operation="ContainerStart"} 1`,
		`berth_api_request_seconds_count{code="200",operation="SystemInfo"} 1`,
	} {
		if !strings.Contains(w.Body.String(), line+"\n") {
			t.Errorf("there is no %s", line)
		}
	}
	if t.Failed() {
		t.Log(w.Body)
	}
}
