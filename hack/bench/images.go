package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
)

// imageCase moves an image of so many layers and MiB by archive and through a
// registry of its own, which is empty each time.
func imageCase(o options, dir string, layers, mib int) benchCase {
	name := fmt.Sprintf("%simage-%d", prefix, layers)
	file := filepath.Join(dir, name+".tar")
	title := fmt.Sprintf("image of %d MiB in %d layers: ", mib, layers)
	return benchCase{name: title + "load, push, pull, save", rounds: max(1, o.rounds/5),
		before: func(context.Context, *engine) error { return writeImage(file, name, layers, mib) },
		sample: func(ctx context.Context, e *engine, add adder) (err error) {
			r, err := startRegistry(ctx, e, dir)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, r.stop()) }()
			remote := r.address + "/" + name
			_, load, err := e.run(ctx, "load", "-q", "-i", file)
			if err != nil {
				return err
			}
			add(title+"load (ms)", ms(load))
			if err := e.do(ctx, "tag", name, remote); err != nil {
				return err
			}
			_, push, err := e.run(ctx, "push", "-q", remote)
			if err != nil {
				return err
			}
			add(title+"push (ms)", ms(push))
			if err := e.forget(ctx, name, remote); err != nil {
				return err
			}
			peak := e.watchPeak()
			_, pull, err := e.run(ctx, "pull", "-q", remote)
			if err != nil {
				return err
			}
			add(title+"pull (ms)", ms(pull))
			if mib, ok := peak(); ok {
				add(title+"daemon's peak while pulling, RSS (MiB)", mib)
			}
			save, err := e.discard(ctx, "save", remote)
			if err != nil {
				return err
			}
			add(title+"save (ms)", ms(save))
			return e.forget(ctx, remote)
		},
		after: func(context.Context, *engine) error {
			if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		},
	}
}

// writeImage makes the archive once.
func writeImage(file, name string, layers, mib int) error {
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = archive.Write(f, archive.Options{Names: []string{name}, Busybox: "/bin/busybox", Layers: layers, LayerSize: mib << 20 / layers})
	return errors.Join(err, f.Close())
}

// forget removes images and waits until their space is free: an engine that frees
// it after the answer would find the layers again.
func (e *engine) forget(ctx context.Context, names ...string) error {
	before := size(e.data)
	if err := e.do(ctx, append([]string{"rmi", "-f"}, names...)...); err != nil {
		return err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for e.data != "" && size(e.data) > before/2 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// size is what the files below a folder take, in bytes.
func size(dir string) (n int64) {
	if dir == "" {
		return 0
	}
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				n += info.Sys().(*syscall.Stat_t).Blocks * 512
			}
		}
		return nil // gone meanwhile
	})
	return n
}

// watchPeak starts to watch the daemon's resident memory, and returns what tells
// the peak in MiB (proc(5), clear_refs).
func (e *engine) watchPeak() func() (float64, bool) {
	proc := fmt.Sprintf("/proc/%d/", e.pid)
	if os.WriteFile(proc+"clear_refs", []byte("5"), 0) != nil {
		return func() (float64, bool) { return 0, false }
	}
	return func() (float64, bool) {
		status, err := os.ReadFile(proc + "status")
		if err != nil {
			return 0, false
		}
		for l := range strings.Lines(string(status)) {
			if kib, ok := strings.CutPrefix(l, "VmHWM:"); ok {
				n, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 64)
				return n / 1024, err == nil
			}
		}
		return 0, false
	}
}

// registry is Debian's docker-registry in an engine's network namespace.
type registry struct {
	address string
	cmd     *exec.Cmd
	dir     string
}

const registryAddress = "127.0.0.1:5007"

func startRegistry(ctx context.Context, e *engine, parent string) (*registry, error) {
	dir, err := os.MkdirTemp(parent, "registry")
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", filepath.Join(dir, "data"), registryAddress)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	enter := []string{"nsenter", "-t", strconv.Itoa(e.pid), "-n"}
	cmd := exec.Command(enter[0], append(enter[1:], "docker-registry", "serve", config)...)
	cmd.SysProcAttr = apart()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("docker-registry (hack/deps bench): %w", err)
	}
	r := &registry{address: registryAddress, cmd: cmd, dir: dir}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		probe := exec.CommandContext(ctx, enter[0], append(enter[1:], "curl", "-sf", "http://"+registryAddress+"/v2/")...)
		if probe.Run() == nil {
			return r, nil
		}
		<-tick.C
	}
	return nil, errors.Join(errors.New("docker-registry does not answer"), r.stop())
}

func (r *registry) stop() error {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait() // killed
	return os.RemoveAll(r.dir)
}
