package runtime

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// endOrphans kills shims of this containerd that it does not know. One is left
// when the daemon dies after the shim has come up and before its address is on
// the disk, or before its container is there: nobody could ever reach it.
func endOrphans(c Config, live map[string]bool) error {
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err
	}
	for _, dir := range procs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		id, ok := shimOf(c, pid)
		if !ok || live[id] {
			continue
		}
		slog.Warn("a shim without a task is ended", "container", id, "pid", pid)
		if err := endShim(c, pid); err != nil {
			return fmt.Errorf("ending the orphaned shim of container %s, pid %d: %w", id, pid, err)
		}
	}
	return nil
}

// shimOf reads off its command line which container a process is the shim of.
func shimOf(c Config, pid int) (id string, ok bool) {
	line, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return "", false // it has ended
	}
	return parseShim(strings.Split(string(line), "\x00"), filepath.Base(c.Shim),
		c.Namespace, filepath.Join(c.State, socketName))
}

// parseShim recognises the arguments that upstream's manager starts a shim with:
// SHIM -namespace NS -id ID -address SOCKET [-debug], and no action after them.
func parseShim(args []string, name, namespace, address string) (id string, ok bool) {
	if filepath.Base(args[0]) != name {
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
