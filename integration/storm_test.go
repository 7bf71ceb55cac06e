package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
)

// stormTime is how long each storm lasts; BERTH_STORM=10m makes it longer.
func stormTime(t *testing.T) time.Duration {
	s := os.Getenv("BERTH_STORM")
	if s == "" {
		return 30 * time.Second
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestStorm kills the daemon at moments that nobody chose while eight clients
// create, start, exec in, stop, restart and remove containers and read their logs. In
// the end each container is as its last acknowledged request wanted it, its log has
// every line that it ever printed, and nothing is left that no container owns.
func TestStorm(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	storm(t, d, func(*rand.Rand) {
		d.Kill()
		d.Run()
	})
}

// TestStormOfShims kills shims too: their containers are others than the clients'.
func TestStormOfShims(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "victim", "--restart", "always", "-p", "127.0.0.1::80", image, "sleep", "100000").OK(t)
	storm(t, d, func(r *rand.Rand) {
		alive(t, d, "victim")
		kill(t, strconv.Itoa(shimOf(t, d, "victim")))
		if r.IntN(2) == 0 {
			d.Kill()
			d.Run()
		}
	})
	alive(t, d, "victim")
	d.Berth("rm", "-f", "victim").OK(t)
	awaitClean(t, d)
}

// TestStormOfContainerd kills a containerd that several daemons could use, and the
// daemon.
func TestStormOfContainerd(t *testing.T) {
	t.Parallel()
	host := start(t, harness.Options{})
	d := start(t, harness.Options{Containerd: host.Containerd(), Namespace: "guest"})
	d.Berth("run", "-d", "--name", "anchor", image, "sleep", "100000").OK(t)
	storm(t, d, func(r *rand.Rand) {
		both := r.IntN(2) == 0
		if both {
			d.Kill()
		}
		host.Kill()
		time.Sleep(time.Duration(r.IntN(500)) * time.Millisecond) // exits that nobody sees
		host.Run()
		host.Berth("ps").OK(t) // ready
		if both {
			d.Run()
		}
		alive(t, d, "anchor") // containerd is reached
	})
	alive(t, d, "anchor")
	d.Berth("rm", "-f", "anchor").OK(t)
	awaitClean(t, d)
}

// storm has clients work on d while strike is called at random moments. A request that
// no strike touched must be done.
func storm(t *testing.T, d *harness.Daemon, strike func(*rand.Rand)) {
	seed := uint64(time.Now().UnixNano()) //nolint:gosec // any
	t.Logf("seed %d", seed)
	over := make(chan struct{})
	var strikes atomic.Int64 // odd while one is under way
	var clients sync.WaitGroup
	slots := make([]*slot, 8)
	for i := range slots {
		slots[i] = newSlot(t, d, fmt.Sprintf("client%d", i), rand.New(rand.NewPCG(seed, uint64(i))), &strikes) //nolint:gosec // not secret
		clients.Go(func() { slots[i].work(over) })
	}
	calm := sync.OnceFunc(func() {
		close(over)
		clients.Wait()
	})
	defer calm()                           // if a strike fails
	r := rand.New(rand.NewPCG(seed, 1000)) //nolint:gosec // not secret
	for end := time.Now().Add(stormTime(t)); time.Now().Before(end); {
		// Any moment will do: this varies it.
		time.Sleep(time.Duration(200+r.IntN(2000)) * time.Millisecond)
		strikes.Add(1)
		strike(r)
		d.Berth("ps").OK(t) // ready
		strikes.Add(1)
	}
	calm()
	for _, s := range slots {
		s.check()
	}
	for _, s := range slots {
		d.Berth("rm", "-f", s.name) // if it is there
	}
	if d.Berth("ps", "-aq").OK(t) == "" {
		awaitClean(t, d)
	}
}

// slot is one container's name and what one client, who alone works on it, knows.
type slot struct {
	t    *testing.T
	d    *harness.Daemon
	name string
	dir  string // mounted into the container, which notes there what it has printed
	r    *rand.Rand

	strikes *atomic.Int64

	may map[string]bool // the states that it may be in: of the last acknowledged request, or of one that was cut off
}

const absent = "absent"

func newSlot(t *testing.T, d *harness.Daemon, name string, r *rand.Rand, strikes *atomic.Int64) *slot {
	dir := filepath.Join(d.Root, "out", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return &slot{t: t, d: d, name: name, dir: dir, r: r, strikes: strikes, may: map[string]bool{absent: true}}
}

// printer counts, and notes each number once it is printed: what it noted must be in
// the log. Its own exit is by the signal.
const printer = `trap 'exit 7' TERM; i=0; while :; do i=$((i+1)); echo $i; echo $i >/out/said; [ $((i%20)) = 0 ] && sleep 0.2; done`

// verbs are what a client may ask for, and the state that follows.
var verbs = []struct {
	state string
	args  []string
}{
	{"running", []string{"run", "-d", "--name", "NAME", "-p", "127.0.0.1::80", "-v", "DIR:/out", "--log-opt", "max-size=-1", image, "sh", "-c", printer}},
	{"running", []string{"run", "-d", "--name", "NAME", "--restart", "unless-stopped", "-v", "DIR:/out", "--log-driver", "local", "--log-opt", "max-size=1g", image, "sh", "-c", printer}},
	{"created", []string{"create", "--name", "NAME", "-v", "DIR:/out", image, "sh", "-c", printer}},
	{"running", []string{"start", "NAME"}},
	{"running", []string{"restart", "NAME"}},
	{"exited", []string{"stop", "NAME"}},
	{"exited", []string{"stop", "NAME"}},
	{"", []string{"exec", "NAME", "true"}},
	{"", []string{"logs", "NAME"}},
	{"", []string{"inspect", "NAME"}},
	{absent, []string{"rm", "-f", "NAME"}},
}

func (s *slot) work(over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		default:
		}
		v := verbs[s.r.IntN(len(verbs))]
		creates := v.args[0] == "run" || v.args[0] == "create"
		if gone := len(s.may) == 1 && s.may[absent]; gone && !creates || creates && !s.may[absent] {
			continue
		}
		args := make([]string, len(v.args))
		for i, a := range v.args {
			args[i] = strings.NewReplacer("NAME", s.name, "DIR", s.dir).Replace(a)
		}
		if creates {
			_ = os.Remove(filepath.Join(s.dir, "said"))
		}
		before := s.strikes.Load()
		r := s.d.Berth(args...)
		if calm := before%2 == 0 && s.strikes.Load() == before; calm && r.Code != 0 && !s.rightly(v.args[0], r.Stderr) {
			s.t.Errorf("%s: refused by a daemon that lived, of %v: exit code %d: %s", strings.Join(args, " "), s.may, r.Code, r.Stderr)
		}
		switch {
		case r.Code == 0 && v.args[0] == "logs":
			s.inOrder(r.Stdout)
		case r.Code == 0 && v.state != "":
			s.may = map[string]bool{v.state: true}
			if v.args[0] == "stop" && s.isCreated() {
				s.may["created"] = true // nothing to stop
			}
		case v.state != "" && !refused(r.Stderr):
			s.may[v.state] = true
			switch v.args[0] { // the first half
			case "run":
				s.may["created"] = true
			case "restart", "rm":
				s.may["exited"] = true
			}
		}
	}
}

// rightly says whether a refusal follows from a state that the container may be in.
func (s *slot) rightly(verb, stderr string) bool {
	switch verb {
	case "run", "create":
		return (len(s.may) > 1 || !s.may[absent]) && strings.Contains(stderr, "is already in use by container")
	case "exec":
		if (len(s.may) > 1 || !s.may["running"]) && strings.Contains(stderr, "is not running") {
			return true
		}
		if strings.Contains(stderr, "is restarting, wait until the container is running") { // by its policy
			return true
		}
	}
	return s.may[absent] && strings.Contains(strings.ToLower(stderr), "no such")
}

// isCreated asks whether a container was never started, which a stop leaves so.
func (s *slot) isCreated() bool {
	r := s.d.Berth("inspect", "-f", "{{.State.Status}}", s.name)
	return r.Code != 0 || strings.TrimSpace(r.Stdout) == "created"
}

// refused is an answer that says that nothing was done.
func refused(stderr string) bool {
	return strings.Contains(stderr, "No such container") || strings.Contains(stderr, "is already in use by container")
}

// check compares what there is with what may be.
func (s *slot) check() {
	s.t.Helper()
	r := s.d.Berth("inspect", "-f", "{{.State.Status}} {{.State.Pid}} {{.State.ExitCode}}", s.name)
	state, pid, code := absent, "0", ""
	if r.Code == 0 {
		f := strings.Fields(r.Stdout)
		state, pid, code = f[0], f[1], f[2]
	}
	if !s.may[state] {
		s.t.Errorf("%s is %s, and may be %v", s.name, state, s.may)
	}
	if state == absent {
		return
	}
	if _, err := os.Stat("/proc/" + pid); (pid != "0" && err == nil) != (state == "running") {
		s.t.Errorf("%s is %s with process %s: %v", s.name, state, pid, err)
	}
	// 128 is a start that could not reach containerd, under a restart policy.
	if state == "exited" && code != "7" && code != "137" && code != "128" {
		s.t.Errorf("%s ended with %s", s.name, code)
	}
	if state == "running" {
		alive(s.t, s.d, s.name)
	}
	said, _ := os.ReadFile(filepath.Join(s.dir, "said")) // empty, if it was cut off in between
	last := s.inOrder(s.d.Berth("logs", s.name).OK(s.t))
	if n, err := strconv.Atoi(strings.TrimSpace(string(said))); err == nil && n > last {
		s.t.Errorf("%s printed %d, its log ends with %d", s.name, n, last)
	}
}

// inOrder fails unless a log is whole: each line is one more than that before it, or
// the 1 of another run. It gives the last.
func (s *slot) inOrder(log string) (last int) {
	s.t.Helper()
	for line := range strings.Lines(log) {
		n, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || n != last+1 && n != 1 {
			s.t.Errorf("%s: %q after %d in the log", s.name, line, last)
			return last
		}
		last = n
	}
	return last
}

func alive(t *testing.T, d *harness.Daemon, name string) {
	t.Helper()
	await(t, name+" answers", func() bool { return d.Berth("exec", name, "echo", "alive").Stdout == "alive\n" })
}

// shimOf is the process that holds a container.
func shimOf(t *testing.T, d *harness.Daemon, name string) int {
	t.Helper()
	pid := d.Berth("inspect", "-f", "{{.State.Pid}}", name).OK(t)
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	parent, err := strconv.Atoi(strings.Fields(rest)[1])
	if err != nil {
		t.Fatal(err)
	}
	return parent
}
