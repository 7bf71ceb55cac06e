package integration

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	ctypes "github.com/moby/moby/api/types/container"
)

// waiting is a wait request whose answer has begun: nothing can be missed any more.
func waiting(t *testing.T, d *harness.Daemon, name string, condition ctypes.WaitCondition) (answer func() ctypes.WaitResponse) {
	t.Helper()
	resp, err := d.HTTP().Post("http://berth/containers/"+name+"/wait?condition="+string(condition), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("wait for %s: status %d", condition, resp.StatusCode)
	}
	return func() (w ctypes.WaitResponse) {
		t.Helper()
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&w); err != nil {
			t.Errorf("wait for %s: %v", condition, err)
		}
		return w
	}
}

var conditions = []ctypes.WaitCondition{"", ctypes.WaitConditionNotRunning, ctypes.WaitConditionNextExit, ctypes.WaitConditionRemoved}

// TestWait has all conditions waited for, of a container that stays and of one that
// its exit removes.
func TestWait(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	for _, how := range [][]string{{"--name", "stays"}, {"--name", "goes", "--rm"}} {
		name := how[1]
		d.Berth(append(append([]string{"run", "-d"}, how...), image, "sh", "-c", "trap 'exit 7' TERM; touch /ready; while :; do sleep 0.1; done")...).OK(t)
		answers := map[ctypes.WaitCondition]func() ctypes.WaitResponse{}
		for _, c := range conditions {
			answers[c] = waiting(t, d, name, c)
		}
		await(t, "the trap", func() bool {
			return d.Berth("exec", name, "test", "-f", "/ready").Code == 0
		})
		d.Berth("kill", "-s", "TERM", name).OK(t)
		for _, c := range conditions {
			if c == ctypes.WaitConditionRemoved && name == "stays" {
				d.Berth("rm", name).OK(t)
			}
			if w := answers[c](); w.StatusCode != 7 || w.Error != nil {
				t.Errorf("%s, %q: %+v", name, c, w)
			}
		}
		d.Berth("inspect", name).Fails(t, 1, "no such object: "+name)
	}
	d.Berth("create", "--name", "made", image, "sh", "-c", "exit 3").OK(t)
	// What does not run is not running; its next exit is to come.
	if w := waiting(t, d, "made", ctypes.WaitConditionNotRunning)(); w.StatusCode != 0 {
		t.Errorf("%+v", w)
	}
	next := waiting(t, d, "made", ctypes.WaitConditionNextExit)
	d.Berth("start", "made").OK(t)
	if w := next(); w.StatusCode != 3 {
		t.Errorf("%+v", w)
	}
	if got := d.Berth("wait", "made").OK(t); got != "3" {
		t.Errorf("after its exit: %q", got)
	}
	d.Berth("wait", "nobody").Fails(t, 1, "No such container: nobody")
}
