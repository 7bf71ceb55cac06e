package runtime

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/trace"
)

// daemonEnv holds a Config as JSON: the test binary then is a process that
// embeds that containerd until its stdin ends.
const daemonEnv = "BERTH_RUNTIME_TEST_DAEMON"

// loopEnv makes the daemon run containers until it is killed.
const loopEnv = "BERTH_RUNTIME_TEST_LOOP"

// orphanEnv makes the test binary a process that only waits.
const orphanEnv = "BERTH_RUNTIME_TEST_ORPHAN"

// bench is what all tests of the package share.
var bench struct {
	dir  string // short: socket paths are bounded
	shim string
	runc string
	rt   *Runtime // embedded in this process
}

func TestMain(m *testing.M) {
	if config := os.Getenv(daemonEnv); config != "" {
		if err := daemonMain(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(orphanEnv) != "" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	if os.Getenv("BERTH_TEST_TRACE") != "" {
		slog.SetLogLoggerLevel(slog.LevelDebug)
		defer trace.Enable(slog.Default())()
	}
	if err := setUp(); err != nil {
		fmt.Fprintln(os.Stderr, errors.Join(err, os.RemoveAll(bench.dir)))
		return 1
	}
	code := m.Run()
	if err := tearDown(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func setUp() (err error) {
	if bench.dir, err = os.MkdirTemp("", "brt"); err != nil {
		return err
	}
	bench.shim = filepath.Join(bench.dir, "bin", "containerd-shim-berth-v2")
	if bench.runc, err = filepath.Abs("../../bin/runc"); err != nil {
		return err
	}
	if _, err := os.Stat(bench.runc); err != nil {
		return fmt.Errorf("these tests run containers (make bin/runc): %w", err)
	}
	const cmds = "github.com/berth-engine/berth/cmd/"
	cmd := exec.Command("go", "build", "-tags", "no_grpc", "-o", filepath.Dir(bench.shim)+"/", cmds+"containerd-shim-berth-v2", cmds+"containerd-shim-berth-task")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", cmd.Args, err, msg)
	}
	start := time.Now()
	if bench.rt, err = Open(context.Background(), testConfig("main")); err != nil {
		return err
	}
	slog.Debug("containerd is open", "took", time.Since(start))
	return makeBase(context.Background(), bench.rt)
}

func tearDown() error {
	if err := bench.rt.Close(); err != nil {
		return err
	}
	return os.RemoveAll(bench.dir)
}

// configs numbers the folders of testConfig.
var configs atomic.Int32

// testConfig is an embedded containerd on folders of its own.
func testConfig(name string) Config {
	name += strconv.Itoa(int(configs.Add(1)))
	return Config{
		Namespace:   "berth-test",
		Root:        filepath.Join(bench.dir, name, "r"),
		State:       filepath.Join(bench.dir, name, "e"),
		Shim:        bench.shim,
		Runtimes:    map[string]Binary{"runc": {Path: bench.runc}},
		Default:     "runc",
		Snapshotter: "overlayfs",
	}
}

// daemonMain is the other process.
func daemonMain(config string) error {
	var c Config
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	r, err := Open(context.Background(), c)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	if os.Getenv(loopEnv) != "" {
		return liveForever(r)
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return r.Close()
}

// daemon is a process that embeds a containerd.
type daemon struct {
	config string
	loop   bool
	cmd    *exec.Cmd
	stdin  io.Closer
}

// startDaemon starts one that is there until all later clean-ups have run.
func startDaemon(t *testing.T, c Config) *daemon {
	t.Helper()
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{config: string(config)}
	t.Cleanup(d.kill)
	d.start(t)
	return d
}

// start runs it, or another one on the same folders.
func (d *daemon) start(t *testing.T) {
	t.Helper()
	d.cmd = exec.Command(os.Args[0])
	d.cmd.Env = append(os.Environ(), daemonEnv+"="+d.config)
	if d.loop {
		d.cmd.Env = append(d.cmd.Env, loopEnv+"=1")
	}
	d.cmd.Stderr = os.Stderr
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if d.stdin, err = d.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the daemon says %q (%v)", line, err)
	}
}

// kill is kill -9.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait()
}

// stop closes it as it should be.
func (d *daemon) stop(t *testing.T) {
	t.Helper()
	if err := d.stdin.Close(); err != nil {
		t.Error(err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Error(err)
	}
}
