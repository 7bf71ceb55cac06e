package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"golang.org/x/sys/unix"
)

// image is what every engine runs; prefix begins the name of each container made.
const (
	image  = "berth-bench:latest"
	prefix = "berthbench-"
)

// engine is a daemon and the CLI that it is used through.
type engine struct {
	name, cli, socket string
	version           string // of the daemon, as it says itself
	config            string // folder of the CLI, empty: the user's settings have no part in this
	pid               int    // of the daemon
	data              string // its data root, "" when it is not known
}

// parseEngine reads NAME=CLI@SOCKET.
func parseEngine(s string) (*engine, error) {
	name, rest, ok := strings.Cut(s, "=")
	cli, socket, ok2 := strings.Cut(rest, "@")
	socket = strings.TrimPrefix(socket, "unix://")
	if !ok || !ok2 || name == "" || cli == "" || !filepath.IsAbs(socket) {
		return nil, fmt.Errorf("%q is not NAME=CLI@SOCKET with an absolute path of a socket", s)
	}
	return &engine{name: name, cli: cli, socket: socket}, nil
}

// command prepares a call of the engine's CLI.
func (e *engine) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, e.cli, args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + e.config,
		"DOCKER_HOST=unix://" + e.socket, "DOCKER_CONFIG=" + e.config,
		"DOCKER_BUILDKIT=1", // for CLIs that would build without
	}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run calls the CLI, returns its output without the last newline and how long
// the call took, from fork to exit.
func (e *engine) run(ctx context.Context, args ...string) (string, time.Duration, error) {
	cmd := e.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if err != nil {
		return "", took, fmt.Errorf("%s %s: %w: %s", e.name, strings.Join(args, " "), err, bytes.TrimSpace(errs.Bytes()))
	}
	return strings.TrimSuffix(out.String(), "\n"), took, nil
}

// discard is run for output that is large and of no interest.
func (e *engine) discard(ctx context.Context, args ...string) (time.Duration, error) {
	cmd := e.command(ctx, args...) // output to /dev/null, as a nil Stdout is
	began := time.Now()
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s %s: %w", e.name, strings.Join(args, " "), err)
	}
	return time.Since(began), err
}

// do is run for calls that are not measured.
func (e *engine) do(ctx context.Context, args ...string) error {
	_, _, err := e.run(ctx, args...)
	return err
}

// openEngines makes the named engines, or starts the two of the default. stop is
// never nil.
func openEngines(ctx context.Context, dir string, named []string) (engines []*engine, stop func() error, err error) {
	var daemons []*daemon
	stop = func() error {
		var errs []error
		for _, d := range daemons {
			errs = append(errs, d.stop())
		}
		return errors.Join(errs...)
	}
	if len(named) == 0 {
		for _, start := range []func(context.Context, string) (*daemon, error){startBerth, startDocker} {
			d, err := start(ctx, dir)
			if d != nil {
				daemons = append(daemons, d)
			}
			if err != nil {
				return nil, stop, err
			}
			engines = append(engines, d.engine)
		}
	}
	for _, s := range named {
		e, err := parseEngine(s)
		if err != nil {
			return nil, stop, err
		}
		engines = append(engines, e)
	}
	for i, e := range engines {
		e.config = filepath.Join(dir, fmt.Sprintf("cli%d", i))
		if err := os.Mkdir(e.config, 0o700); err != nil {
			return nil, stop, err
		}
		version, _, err := e.run(ctx, "version", "--format", "{{.Server.Version}}")
		if err != nil {
			return nil, stop, err
		}
		e.version = version
		if e.pid == 0 {
			if e.pid, err = peer(e.socket); err != nil {
				return nil, stop, err
			}
		}
	}
	return engines, stop, nil
}

// peer returns the process that listens on a unix socket. Under socket
// activation that is whoever made the socket, which is then not the daemon.
func peer(socket string) (int, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return int(cred.Pid), nil
}

// loadImage makes the image and gives it to each engine.
func loadImage(ctx context.Context, name string, engines []*engine) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := archive.Write(f, archive.Options{Names: []string{image}, Busybox: "/bin/busybox"}); err != nil {
		return err
	}
	for _, e := range engines {
		if err := e.do(ctx, "load", "-i", name); err != nil {
			return err
		}
	}
	return nil
}

// removeContainers removes what this program made, on engines that go on after it too.
func removeContainers(engines []*engine) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var errs []error
	for _, e := range engines {
		out, _, err := e.run(ctx, "ps", "-aq", "--filter", "name="+prefix)
		if ids := strings.Fields(out); err == nil && len(ids) > 0 {
			err = e.do(ctx, append([]string{"rm", "-f"}, ids...)...)
		}
		errs = append(errs, err, e.do(ctx, "rmi", image))
	}
	return errors.Join(errs...)
}
