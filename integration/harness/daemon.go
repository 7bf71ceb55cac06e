// Package harness runs berthd for tests: on roots, sockets, bridge and addresses
// of its own, with real clients, and with a check at the end that the machine is
// as it was before.
package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Patience bounds every wait of a test; it is a limit, not a measure.
const Patience = 60 * time.Second

// Bin is the folder of the binaries that make build made.
func Bin() string {
	if dir := os.Getenv("BERTH_BIN"); dir != "" {
		return dir
	}
	dir, err := os.Getwd() // of a test: its package's folder
	if err != nil {
		panic(err)
	}
	for dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	return filepath.Join(dir, "bin")
}

// Options are what a test wants otherwise.
type Options struct {
	Flags  []string // further flags of berthd
	Env    []string // further environment of berthd
	Binary string   // of the daemon, below Bin; "" is berthd

	// Run are folders that the daemon has below /run, which else is empty for it: by
	// their paths there.
	Run map[string]string

	// Host is whose network the daemon has; nil is this host's.
	Host *OtherHost

	// Containerd is the socket of a containerd that outlives the daemon, in
	// which it uses Namespace; "" embeds one, with namespace "berth".
	Containerd, Namespace string
}

// Daemon is a berthd that belongs to one test.
type Daemon struct {
	t       *testing.T
	opts    Options
	Root    string // holds everything of this daemon
	Socket  string
	Bridge  string
	Subnet  string // of the bridge, "10.x.y" without the last part
	log     *Buffer
	before  machine
	cmd     *exec.Cmd
	exited  chan struct{} // closed when cmd has ended
	exitErr error
}

var instance atomic.Uint32

// block is which of 10.160.0.0/16 to 10.223.0.0/16 the daemons of this process have, and what
// keeps it from others of its kind: an abstract socket, which goes with the process.
type block struct {
	number int
	_      net.Listener // which a collector would close
}

var ownBlock = sync.OnceValue(func() block {
	for i := range 64 {
		n := (os.Getpid() + i) % 64
		if l, err := net.Listen("unix", fmt.Sprintf("@berth-test-block-%d", n)); err == nil {
			return block{n, l}
		}
	}
	return block{number: os.Getpid() % 64} // of as many processes, two share one
})

// Start runs a daemon until the end of the test, and then checks that nothing of
// it is left.
func Start(t *testing.T, o Options) *Daemon {
	t.Helper()
	n := instance.Add(1)
	pid := os.Getpid()
	// Short: a unix socket's path has 107 bytes at most.
	root, err := os.MkdirTemp("/tmp", "bt")
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon{
		t: t, opts: o, Root: root,
		Socket: filepath.Join(root, "berth.sock"),
		Bridge: fmt.Sprintf("bt%d.%d", pid%100000, n),
		Subnet: fmt.Sprintf("10.%d.%d", 160+ownBlock().number, n%256),
		log:    &Buffer{},
		before: look(),
	}
	if d.opts.Binary == "" {
		d.opts.Binary = "berthd"
	}
	if d.opts.Namespace == "" {
		d.opts.Namespace = "berth"
	}
	d.opts.Flags = append(d.opts.Flags, "--containerd="+d.opts.Containerd, "--containerd-namespace="+d.opts.Namespace)
	t.Cleanup(d.cleanup)
	d.Run(o.Env...)
	return d
}

// Data and Exec are the daemon's roots.
func (d *Daemon) Data() string { return filepath.Join(d.Root, "data") }

// Exec is the root of what does not outlive a reboot.
func (d *Daemon) Exec() string { return filepath.Join(d.Root, "exec") }

// Containerd is the socket of the daemon's containerd.
func (d *Daemon) Containerd() string {
	if d.opts.Containerd != "" {
		return d.opts.Containerd
	}
	return filepath.Join(d.Exec(), "containerd", "containerd.sock")
}

// Namespace is where the daemon's containers are in containerd.
func (d *Daemon) Namespace() string { return d.opts.Namespace }

// Run starts the process and returns when it answers.
func (d *Daemon) Run(env ...string) {
	d.t.Helper()
	if err := d.Launch(env...); err != nil {
		d.t.Fatalf("berthd does not start: %v\n%s", err, d.Log())
	}
}

// Launch starts the process and waits for it to answer or to end.
func (d *Daemon) Launch(env ...string) error {
	args := append([]string{
		"--data-root", d.Data(), "--exec-root", d.Exec(), "-H", "unix://" + d.Socket,
		"--bridge", d.Bridge, "--bip", d.Subnet + ".1/24", "--debug",
		"--config-file", filepath.Join(d.Root, "daemon.json"),
	}, d.opts.Flags...)
	if err := os.WriteFile(filepath.Join(d.Root, "daemon.json"), []byte("{}"), 0o600); err != nil {
		return err
	}
	d.cmd = d.opts.command(filepath.Join(Bin(), d.opts.Binary), args...)
	d.cmd.Env = append(os.Environ(), env...)
	d.cmd.Stderr, d.cmd.Stdout = d.log, d.log
	// Not in the test's process group: a ctrl-c ends the test, whose cleanup
	// ends the daemon.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.opts.Host.start(d.cmd); err != nil {
		return err
	}
	d.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		d.exitErr = cmd.Wait()
		close(exited)
	}(d.cmd, d.exited)
	return d.awaitReady()
}

// command runs a daemon on the machine, or with another /run than the machine's.
func (o *Options) command(path string, args ...string) *exec.Cmd {
	if len(o.Run) == 0 {
		return exec.Command(path, args...)
	}
	return WithRun(o.Run, path, args...)
}

// WithRun prepares a command for which /run has nothing but some folders: those of the
// map's values, at its keys.
func WithRun(folders map[string]string, path string, args ...string) *exec.Cmd {
	script := "mount -t tmpfs tmpfs /run"
	for at, folder := range folders {
		script += fmt.Sprintf(" && mkdir -p /run/%[1]s && mount --bind %[2]s /run/%[1]s", at, folder)
	}
	return exec.Command("unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c", script + ` && exec "$@"`, "sh", path}, args...)...)
}

// awaitReady asks until the daemon answers. That somebody can connect is not enough:
// a child of the one before, killed while it started a program, has the socket until it
// executes.
func (d *Daemon) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", d.Socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://berth/_ping", http.NoBody)
	if err != nil {
		return err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if resp, err := client.Do(req); err == nil {
			return resp.Body.Close()
		}
		select {
		case <-d.exited:
			return fmt.Errorf("it ended: %w", d.exitErr)
		case <-ctx.Done():
			return errors.New("it does not answer")
		case <-tick.C:
		}
	}
}

// Pid is the daemon's process.
func (d *Daemon) Pid() int { return d.cmd.Process.Pid }

// Kill ends the daemon as a crash would.
func (d *Daemon) Kill() {
	d.t.Helper()
	d.end(syscall.SIGKILL)
}

// Terminate ends it in good order.
func (d *Daemon) Terminate() {
	d.t.Helper()
	d.end(syscall.SIGTERM)
	if d.exitErr != nil {
		d.t.Errorf("berthd after SIGTERM: %v", d.exitErr)
	}
}

// AwaitEnd waits for a daemon that ends by itself.
func (d *Daemon) AwaitEnd() {
	d.t.Helper()
	select {
	case <-d.exited:
	case <-time.After(Patience):
		d.t.Fatalf("berthd did not end\n%s", d.Log())
	}
}

func (d *Daemon) end(sig syscall.Signal) {
	d.t.Helper()
	_ = d.cmd.Process.Signal(sig)
	d.AwaitEnd()
}

// Log is what the daemon has logged so far.
func (d *Daemon) Log() string { return d.log.String() }

// cleanup removes what the test made, ends the daemon and compares the machine.
func (d *Daemon) cleanup() {
	d.t.Helper()
	if d.t.Failed() {
		d.t.Logf("log of berthd:\n%s", tail(own(d.Log()), 60))
	}
	select {
	case <-d.exited:
		if d.t.Failed() {
			d.t.Logf("berthd had ended: %v", d.exitErr)
		}
		if err := d.Launch(); err != nil {
			d.t.Errorf("berthd does not start for the clean-up: %v\n%s", err, d.Log())
		}
	default:
	}
	d.removeAll()
	d.Terminate()
	if strings.Contains(d.Log(), "panic in a request") {
		d.t.Errorf("berthd panicked:\n%s", d.Log())
	}
	RemoveCgroups(d.t, d.CgroupParent()+"/buildkit", d.CgroupParent())
	d.before.compare(d.t, d)
	if err := os.RemoveAll(d.Root); err != nil {
		d.t.Errorf("roots of berthd: %v", err)
	}
}

func (d *Daemon) removeAll() {
	out := d.Berth("ps", "-aq").Stdout
	if ids := strings.Fields(out); len(ids) > 0 {
		d.Berth(append([]string{"rm", "-f", "-v"}, ids...)...)
	}
}

// CgroupParent is a cgroup for containers of this daemon that are to have another parent.
// It is removed with the daemon, which leaves such there, as Docker does.
func (d *Daemon) CgroupParent() string { return "berth-" + d.Bridge }

// RemoveCgroups removes cgroups that a test had made, in all hierarchies, and fails the test
// if there is something in one. None is no error.
func RemoveCgroups(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		groups, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup/*", name))
		for _, g := range append(groups, filepath.Join("/sys/fs/cgroup", name)) {
			if err := os.Remove(g); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("left behind: %v", err)
			}
		}
	}
}

// own leaves out what the embedded containerd says at debug level.
func own(log string) (out string) {
	for l := range strings.Lines(log) {
		if !strings.Contains(l, "level=DEBUG") || !strings.Contains(l, "from=containerd") {
			out += l
		}
	}
	return out
}

func tail(s string, lines int) string {
	all := strings.Split(s, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Buffer may be read while a process writes to it.
type Buffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *Buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Result is how a command ended.
type Result struct {
	Args           []string
	Stdout, Stderr string
	Code           int
}

// OK fails the test unless the command succeeded, and gives its trimmed output.
func (r Result) OK(t *testing.T) string {
	t.Helper()
	if r.Code != 0 {
		t.Fatalf("%s: exit code %d\nstdout: %s\nstderr: %s", strings.Join(r.Args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return strings.TrimSpace(r.Stdout)
}

// Fails fails the test unless the command ended with a code and its stderr
// contains a text.
func (r Result) Fails(t *testing.T, code int, text string) {
	t.Helper()
	if r.Code != code || !strings.Contains(r.Stderr, text) {
		t.Fatalf("%s: exit code %d, want %d with %q\nstdout: %s\nstderr: %s", strings.Join(r.Args, " "), r.Code, code, text, r.Stdout, r.Stderr)
	}
}

// Command prepares a client's command against this daemon.
func (d *Daemon) Command(ctx context.Context, client string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, client, args...)
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+d.Socket, "DOCKER_CONFIG="+filepath.Join(d.Root, "cli"), "DOCKER_CLI_HINTS=false")
	return cmd
}

// BerthCLI is the path of our own client.
func BerthCLI() string { return filepath.Join(Bin(), "berth") }

// Berth runs our own client.
func (d *Daemon) Berth(args ...string) Result {
	d.t.Helper()
	return d.Client(BerthCLI(), nil, args...)
}

// Client runs a client's command and waits for its end.
func (d *Daemon) Client(client string, stdin io.Reader, args ...string) Result {
	d.t.Helper()
	return d.clientFor(Patience, client, stdin, args...)
}

func (d *Daemon) clientFor(patience time.Duration, client string, stdin io.Reader, args ...string) Result {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := d.Command(ctx, client, args...)
	cmd.Stdin = stdin
	return d.Done(cmd)
}

// Done runs a command of a client to its end, or fails the test when its context is done
// before that, which kills it.
func (d *Daemon) Done(cmd *exec.Cmd) Result {
	d.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := Result{Args: append([]string{filepath.Base(cmd.Path)}, cmd.Args[1:]...), Stdout: stdout.String(), Stderr: stderr.String()}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL:
		r.Code = exit.ExitCode()
	case err != nil:
		d.t.Fatalf("%s: %v\nstdout: %s\nstderr: %s\n%s", strings.Join(r.Args, " "), err, r.Stdout, r.Stderr, tail(d.Log(), 60))
	}
	return r
}
