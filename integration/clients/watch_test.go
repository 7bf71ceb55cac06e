package clients

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
)

// watchDuration is how long TestWatcher watches: BERTH_WATCH=1h for a watcher as in
// production.
func watchDuration(t *testing.T) time.Duration {
	t.Helper()
	s := os.Getenv("BERTH_WATCH")
	if s == "" {
		return 10 * time.Second
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestWatcher has a program that knows only the socket follow all events, and the
// statistics of each container that runs, while containers come and go: it sees every one
// of them, once and in order.
func TestWatcher(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	w := newWatcher(t, d)
	memory := func() int { t.Helper(); return resident(t, d.Pid()) }
	stays := d.Berth("run", "-d", "--init", image, "sleep", "1000000").OK(t)
	var made []string
	var first int
	for end := time.Now().Add(watchDuration(t)); time.Now().Before(end) || len(made) < 5; {
		id := d.Berth("run", "-d", image, "sh", "-c", "echo here; exit 3").OK(t)
		d.Berth("wait", id).OK(t)
		d.Berth("rm", id).OK(t)
		if made = append(made, id); len(made) == 5 {
			first = memory()
		}
	}
	await(t, "two samples of what stays", func() bool { return w.samples(stays) >= 2 })
	d.Berth("rm", "-f", stays).OK(t)
	await(t, "the last event", func() bool { return w.saw(stays) == "create start kill die destroy" })
	w.close()
	for _, id := range made {
		if got := w.saw(id); got != "create start die destroy" {
			t.Errorf("of %s the watcher saw %q", id[:12], got)
		}
	}
	t.Logf("%d containers and %d samples in %s; berthd has %d KiB resident, had %d after the fifth", len(made), w.samples(stays), watchDuration(t), memory(), first)
}

// resident is the memory of a process that is its own, in KiB.
func resident(t *testing.T, pid int) (kib int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if n, _ := fmt.Sscanf(string(line), "RssAnon: %d kB", &kib); n == 1 {
			return kib
		}
	}
	t.Fatal("no RssAnon")
	return 0
}

// watcher asks the socket alone.
type watcher struct {
	t      *testing.T
	http   *http.Client
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex // guards the rest
	actions map[string]string
	stats   map[string]int
}

func newWatcher(t *testing.T, d *harness.Daemon) *watcher {
	t.Helper()
	w := &watcher{t: t, actions: map[string]string{}, stats: map[string]int{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.http = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", d.Socket)
	}}}
	t.Cleanup(w.close)
	body := w.get("/events")
	w.wg.Go(func() { w.lines(body, w.event) })
	return w
}

// get returns when the daemon has answered: what happens after that is heard.
func (w *watcher) get(path string) io.ReadCloser {
	r, err := http.NewRequestWithContext(w.ctx, http.MethodGet, "http://docker"+path, nil)
	if err != nil {
		w.t.Error(err)
		return http.NoBody
	}
	resp, err := w.http.Do(r)
	if err != nil {
		if w.ctx.Err() == nil {
			w.t.Errorf("%s: %v", path, err)
		}
		return http.NoBody
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotFound {
		w.t.Errorf("%s: %s", path, resp.Status)
	}
	return resp.Body
}

func (w *watcher) lines(body io.ReadCloser, each func([]byte)) {
	defer body.Close()
	for s := bufio.NewScanner(body); s.Scan(); {
		each(s.Bytes())
	}
}

func (w *watcher) event(line []byte) {
	var e events.Message
	if err := json.Unmarshal(line, &e); err != nil {
		w.t.Errorf("%q: %v", line, err)
		return
	}
	if e.Type != events.ContainerEventType {
		return
	}
	w.mu.Lock()
	if w.actions[e.Actor.ID] != "" {
		w.actions[e.Actor.ID] += " "
	}
	w.actions[e.Actor.ID] += string(e.Action)
	w.mu.Unlock()
	if e.Action == events.ActionStart {
		w.wg.Go(func() { w.follow(e.Actor.ID) })
	}
}

// follow reads samples until the container ends, which may be before the first.
func (w *watcher) follow(id string) {
	var last time.Time
	w.lines(w.get("/containers/"+id+"/stats"), func(line []byte) {
		var s container.StatsResponse
		if err := json.Unmarshal(line, &s); err != nil || s.ID != "" && s.ID != id {
			w.t.Errorf("%q: %v", line, err)
			return
		}
		if s.PidsStats.Current == 0 {
			return // it has ended
		}
		if !s.Read.After(last) {
			w.t.Errorf("a sample of %s after one of %s", s.Read, last)
		}
		last = s.Read
		w.mu.Lock()
		w.stats[id]++
		w.mu.Unlock()
	})
}

func (w *watcher) saw(id string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.actions[id]
}

func (w *watcher) samples(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats[id]
}

func (w *watcher) close() {
	w.cancel()
	w.wg.Wait()
	w.http.CloseIdleConnections()
}
