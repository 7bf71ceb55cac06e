package cgroups

import (
	"os"
	"path/filepath"
	"strings"
)

// HastenAttach has the kernel get ready for a runtime to move a process into its cgroups,
// and returns at once; the function that it returns waits for it.
//
// Each first move after a pause waits for an RCU grace period, 5 to 15 ms, in
// cgroup_attach_lock (kernel/cgroup/cgroup.c; its mount option favordynmods is the
// same remedy for the whole host). Those that follow within about as long do not. So this
// process is moved to where it is: the earlier the better, as nobody makes a cgroup while
// that waits.
func HastenAttach() (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if file := ownCgroup("/proc/self/cgroup", "/sys/fs/cgroup"); file != "" {
			_ = os.WriteFile(file, []byte("0"), 0) // without it the runtime waits, that is all
		}
	}()
	return func() { <-done }
}

// ownCgroup finds the file that processes are moved by to the cgroup that this one
// is in (cgroups(7)): of the unified hierarchy, or of one of version 1. "" when
// there is none.
func ownCgroup(membership, root string) string {
	b, err := os.ReadFile(membership)
	if err != nil {
		return ""
	}
	for l := range strings.Lines(string(b)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(l), ":")
		controllers, path, ok := strings.Cut(rest, ":")
		if !ok || strings.HasPrefix(controllers, "name=") || strings.HasPrefix(path, "/..") {
			continue
		}
		if id == "0" {
			controllers = ""
		}
		file := filepath.Join(root, controllers, path, "cgroup.procs")
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}
