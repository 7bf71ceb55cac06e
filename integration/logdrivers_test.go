package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
	"golang.org/x/sys/unix"
)

// TestLogDriverSyslog sends a log to a server on loopback, reads its local copy, and
// loses the server.
func TestLogDriverSyslog(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	run := []string{
		"run", "-d", "--log-driver", "syslog", "--log-opt", "syslog-address=tcp://" + l.Addr().String(),
		"--log-opt", "syslog-format=rfc5424", "--log-opt", "tag={{.Name}}/{{.ImageName}}",
	}
	with := func(more ...string) []string { return append(run[:len(run):len(run)], more...) }
	d.Berth(with("--name", "one", image, "sh", "-c", "echo one; echo two >&2; cat")...).OK(t)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(conn)
	got := map[string]string{}
	for range 2 {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		f := strings.Fields(line)
		got[f[len(f)-1]] = f[0] + " " + f[3]
	}
	if got["one"] != "<30>1 one/"+image || got["two"] != "<27>1 one/"+image {
		t.Errorf("the server has %v", got)
	}
	d.Berth("wait", "one").OK(t)
	_ = conn.Close()
	if r := d.Berth("logs", "one"); r.OK(t) != "one" || r.Stderr != "two\n" {
		t.Errorf("logs: %q, %q", r.Stdout, r.Stderr)
	}
	d.Berth(with("--name", "two", "--log-opt", "cache-disabled=true", image, "true")...).OK(t)
	d.Berth("logs", "two").Fails(t, 1, "configured logging driver does not support reading")

	// Without a server nothing starts, and nothing is left of the attempt.
	_ = l.Close()
	d.Berth(with("--name", "three", image, "true")...).Fails(t, 125, "failed to initialize logging driver: dial tcp "+l.Addr().String()+": connect: connection refused")
	if state := d.Berth("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "three").OK(t); !strings.HasPrefix(state, "created ") {
		t.Errorf("three is %s", state)
	}
	d.Berth("start", "three").Fails(t, 1, "connection refused")
}

// TestLogDriverFluentd stops a container that waits for a server: in blocking mode
// it stands still when the server does, and ends when it is told to.
func TestLogDriverFluentd(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	path := filepath.Join(d.Root, "fluent.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const chatter = "i=0; while :; do i=$((i+1)); echo $i; done"
	d.Berth("run", "-d", "--name", "stuck", "--log-driver", "fluentd", "--log-opt", "fluentd-address=unix://"+path, image, "sh", "-c", chatter).OK(t)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	last := ""
	await(t, "the container waits for the server", func() bool {
		before := last
		last = d.Berth("logs", "--tail", "1", "stuck").OK(t)
		return last == before && last != ""
	})
	d.Berth("rm", "-f", "stuck").OK(t)

	// Not blocking, it goes on without any server.
	_ = l.Close()
	d.Berth("run", "-d", "--name", "free", "--log-driver", "fluentd", "--log-opt", "fluentd-address=127.0.0.1:1", "--log-opt", "fluentd-async=true",
		image, "seq", "1", "200000").OK(t)
	if got := d.Berth("wait", "free").OK(t); got != "0" {
		t.Errorf("the container ended with %s", got)
	}
	if got := d.Berth("logs", "--tail", "2", "free").OK(t); got != "199999\n200000" {
		t.Errorf("the local copy ends in %q", got)
	}
}

// TestLogDriversOfFiles: rotation under a reader that follows, for both forms, and a
// daemon that dies and comes back meanwhile.
func TestLogDriversOfFiles(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	const last = 60000
	for _, driver := range []string{"json-file", "local"} {
		d.Berth("run", "-d", "--name", driver, "--log-driver", driver, "--log-opt", "max-size=50k", "--log-opt", "max-file=1000",
			"--label", "team=blue", "--log-opt", "labels=team", "--log-opt", "tag={{.Name}}",
			image, "sh", "-c", fmt.Sprintf("read go < /dev/null; seq 1 %d; echo end >&2", last)).OK(t)
		r := d.Berth("logs", "-f", driver)
		for i, line := range strings.Split(r.OK(t), "\n") {
			if line != strconv.Itoa(i+1) {
				t.Fatalf("%s: line %d is %q", driver, i+1, line)
			}
		}
		if n := strings.Count(r.Stdout, "\n"); n != last || r.Stderr != "end\n" {
			t.Errorf("%s: followed %d lines, then %q", driver, n, r.Stderr)
		}
		// The two outputs are two pipes: which line came last is not said.
		r = d.Berth("logs", "--details", "-t", "--tail", "1", driver)
		line := r.Stdout + r.Stderr
		stamp, text, _ := strings.Cut(line, " ")
		if !strings.HasPrefix(text, "tag="+driver+",team=blue ") {
			t.Errorf("%s: details %q", driver, line)
		}
		r = d.Berth("logs", "--details", "-t", "--since", stamp, driver)
		if got := r.Stdout + r.Stderr; !strings.Contains(got, line) || strings.Count(got, "\n") > last/10 {
			t.Errorf("%s: %d bytes since %s", driver, len(got), stamp)
		}
		path := d.Berth("inspect", "-f", "{{.LogPath}}", driver).OK(t)
		if _, err := os.Stat(path); (err == nil) != (driver == "json-file") || driver == "local" && path != "" {
			t.Errorf("%s: log path %q: %v", driver, path, err)
		}
	}
}

// TestLogDriverRefused: bad options make no container, and none has nothing to read.
func TestLogDriverRefused(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	for opts, want := range map[string]string{
		"fancy":                          "logger: no log driver named 'fancy' is registered",
		"local max-size=x":               "invalid value for max-size: x: invalid size: 'x'",
		"syslog syslog-format=x":         "invalid syslog format",
		"journald max-size=1m":           "unknown log opt 'max-size' for journald log driver",
		"fluentd fluentd-address=udp://": "invalid fluentd-address (udp://): unsupported scheme: 'udp'",
		"json-file mode=sometimes":       "logger: logging mode not supported: sometimes",
		"json-file tag={{":               "invalid log-opt tag",
	} {
		driver, opt, ok := strings.Cut(opts, " ")
		args := []string{"create", "--log-driver", driver}
		if ok {
			args = append(args, "--log-opt", opt)
		}
		d.Berth(append(args, image)...).Fails(t, 1, want)
	}
	if got := d.Berth("ps", "-aq").OK(t); got != "" {
		t.Errorf("left: %s", got)
	}
	d.Berth("run", "--name", "none", "--log-driver", "none", image, "echo", "hi").OK(t)
	d.Berth("logs", "none").Fails(t, 1, "configured logging driver does not support reading")
	if _, err := os.Stat("/run/systemd/journal/socket"); err != nil {
		d.Berth("run", "--log-driver", "journald", image, "true").Fails(t, 125, "journald is not enabled on this host")
	}
	if got := d.Berth("info", "-f", "{{.Plugins.Log}} {{.DriverStatus}}").OK(t); !strings.Contains(got, "[fluentd journald json-file local syslog]") || !strings.Contains(got, "5 files of 20MB") {
		t.Errorf("info: %s", got)
	}
	code, out := berthd(t, "--data-root", d.Root+"/2", "--exec-root", d.Root+"/e2", "-H", "unix://"+d.Root+"/2.sock", "--log-opt", "max-size=x")
	if code == 0 || !strings.Contains(out, "failed to set log opts: invalid max-size: invalid size: 'x'") {
		t.Errorf("code %d: %s", code, out)
	}
}

// TestLogOnAFullDisk fills the disk that a container's log is on: the container goes on
// and is not told, the daemon is once, and there are whole lines when there is room.
func TestLogOnAFullDisk(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	for _, driver := range []string{"json-file", "local"} {
		t.Run(driver, func(t *testing.T) {
			dir := t.TempDir()
			id := d.Berth("create", "--name", driver, "--log-driver", driver, "--log-opt", "max-size=1g", "-v", dir+":/dir", image,
				"sh", "-c", "seq 1 500000; touch /dir/printed; until [ -e /dir/room ]; do sleep 0.01; done; seq 1 1000; echo end").OK(t)
			disk := filepath.Join(d.Data(), "containers", id)
			if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				d.Berth("kill", driver)
				d.Berth("wait", driver).OK(t)
				if err := unix.Unmount(disk, 0); err != nil {
					t.Error(err)
				}
			})
			count := func() int { return strings.Count(d.Log(), "no space left on device") }
			before := count()
			d.Berth("start", driver).OK(t)
			await(t, "the daemon says that lines are lost", func() bool { return count() > before })
			await(t, "the container has printed all", func() bool {
				_, err := os.Stat(filepath.Join(dir, "printed"))
				return err == nil
			})
			if n := count() - before; n != 1 {
				t.Errorf("it said so %d times", n)
			}
			for i, line := range strings.Split(d.Berth("logs", driver).OK(t), "\n") {
				if line != strconv.Itoa(i+1) {
					t.Fatalf("line %d is %q", i+1, line)
				}
			}
			if err := unix.Mount("", disk, "", unix.MS_REMOUNT, "size=4m"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "room"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := d.Berth("wait", driver).OK(t); got != "0" {
				t.Errorf("the container ended with %s", got)
			}
			if got := d.Berth("logs", "--tail", "2", driver).OK(t); got != "1000\nend" {
				t.Errorf("with room again, the log ends in %q", got)
			}
		})
	}
}

// TestLogFrames: a log comes with a frame for each line, which is what clients that
// iterate over it take for one, followed or not. berth, which joins the frames, prints what
// docker does.
func TestLogFrames(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	const last = 3000
	d.Berth("run", "--name", "counted", image, "seq", "1", strconv.Itoa(last)).OK(t)
	var want strings.Builder
	for i := range last {
		fmt.Fprintln(&want, i+1)
	}
	for _, follow := range []string{"0", "1"} {
		resp, err := d.HTTP().Get("http://berth/v1.51/containers/counted/logs?stdout=1&stderr=1&follow=" + follow)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body := bufio.NewReader(resp.Body)
		for i := range last {
			line := fmt.Sprintln(i + 1)
			frame := fmt.Sprintf("\x01\x00\x00\x00\x00\x00\x00%c%s", len(line), line)
			got := make([]byte, len(frame))
			if _, err := io.ReadFull(body, got); err != nil || string(got) != frame {
				t.Fatalf("follow=%s: %q, %v, want %q", follow, got, err, frame)
			}
		}
		if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
			t.Errorf("follow=%s: %q more, %v", follow, rest, err)
		}
		for name, client := range clients(t) {
			if r := d.Client(client, nil, "logs", "--follow="+follow, "counted"); r.Stdout != want.String() || r.Stderr != "" || r.Code != 0 {
				t.Errorf("%s logs --follow=%s: %d bytes, %q, %d", name, follow, len(r.Stdout), r.Stderr, r.Code)
			}
		}
	}
}

// TestLogLinesComeAtOnce: a line is printed when it has come, not with the next.
func TestLogLinesComeAtOnce(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "echo", image, "sleep", "1000").OK(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	follow := d.Command(ctx, harness.BerthCLI(), "logs", "-f", "echo")
	out, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, line := range []string{"one", "two", "three"} {
		d.Berth("exec", "echo", "sh", "-c", "echo "+line+" > /proc/1/fd/1").OK(t)
		if !lines.Scan() || lines.Text() != line {
			t.Fatalf("%q, %v; want %q", lines.Text(), lines.Err(), line)
		}
	}
	d.Berth("rm", "-f", "echo").OK(t)
	if err := follow.Wait(); err != nil {
		t.Error(err)
	}
}
