package runtime

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/pkg/shim/launch"
)

// endOrphans kills shims of this containerd that it does not know. One is left
// when the daemon dies after the shim has come up and before its address is on
// the disk, or before its container is there: nobody could ever reach it.
func endOrphans(c Config, live map[string]bool) error {
	all, err := shims(c)
	if err != nil {
		return err
	}
	for pid, id := range all {
		if live[id] {
			continue
		}
		slog.Warn("a shim without a task is ended", "container", id, "pid", pid)
		if err := endShim(c, pid); err != nil {
			return fmt.Errorf("ending the orphaned shim of container %s, pid %d: %w", id, pid, err)
		}
	}
	return nil
}

// endLost does so for a containerd that was away, while tasks may be created. The
// order tells a shim that was lost from one that is coming up: whose CreateTask
// began before the look at the processes is still at it, or has made a task, or
// has failed.
func (r *containerTasks) endLost(ctx context.Context) error {
	all, err := shims(r.config)
	if err != nil {
		return err
	}
	live := r.creating.ids()
	tasks, err := r.Tasks(ctx)
	if err != nil {
		return err
	}
	for _, t := range tasks {
		live[t.ID] = true
	}
	var errs error
	for pid, id := range all {
		if !live[id] {
			slog.Warn("a shim that containerd lost is ended", "container", id, "pid", pid)
			errs = errors.Join(errs, endShim(r.config, pid))
		}
	}
	return errs
}

// creating are the containers whose task is being created.
type creating struct {
	mu sync.Mutex // guards n
	n  map[string]int
}

func (c *creating) begin(id string) (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[id]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.n[id]--; c.n[id] == 0 {
			delete(c.n, id)
		}
	}
}

func (c *creating) ids() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]bool, len(c.n))
	for id := range c.n {
		all[id] = true
	}
	return all
}

// shims are the processes that are shims of this containerd, by their IDs.
func shims(c Config) (map[int]string, error) {
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	all := map[int]string{}
	for _, dir := range procs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if id, ok := shimOf(c, pid); ok {
			all[pid] = id
		}
	}
	return all, nil
}

// shimOf reads off its command line which container a process is the shim of.
func shimOf(c Config, pid int) (id string, ok bool) {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return "", false // it has ended
	}
	address := strings.TrimPrefix(c.Address, "unix://")
	if address == "" {
		address = filepath.Join(c.State, socketName)
	}
	return parseShim(strings.Split(string(line), "\x00"), filepath.Base(c.Shim), c.Namespace, address)
}

// parseShim recognises the arguments that a shim is started with: by its launcher, whose
// name it has then, or by upstream's manager,
// SHIM -namespace NS -id ID -address SOCKET [-debug], and no action after them.
func parseShim(args []string, name, namespace, address string) (id string, ok bool) {
	if base := filepath.Base(args[0]); base != name && base != launch.Program {
		return "", false
	}
	flags := map[string]string{}
	for i := 1; i < len(args); i++ {
		switch args[i] {
		case "-namespace", "-id", "-address":
			if i+1 == len(args) {
				return "", false
			}
			flags[args[i]] = args[i+1]
			i++
		case "-debug", "":
		default: // "start" or "delete", by a containerd
			return "", false
		}
	}
	id = flags["-id"]
	return id, id != "" && flags["-namespace"] == namespace && flags["-address"] == address
}

// endShim kills that very process: its ID is looked at again once it can no
// longer become another one's.
func endShim(c Config, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return ignore(err, isNoProcess)
	}
	defer unix.Close(fd)
	if _, ok := shimOf(c, pid); !ok {
		return nil
	}
	return ignore(unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0), isNoProcess)
}

func isNoProcess(err error) bool { return errors.Is(err, unix.ESRCH) }
