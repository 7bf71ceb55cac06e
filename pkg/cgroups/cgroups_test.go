package cgroups

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// running starts a process in a cgroup.
func running(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// TestThaw freezes a cgroup and one below it.
func TestThaw(t *testing.T) {
	all, err := Hierarchies()
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	name := fmt.Sprintf("berth-thaw-test-%d", os.Getpid())
	var state string
	for _, h := range all {
		below := filepath.Join(h, name, "below")
		if err := os.MkdirAll(below, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, frozen := range map[string]string{"freezer.state": "FROZEN", "cgroup.freeze": "1"} {
			for _, dir := range []string{below, filepath.Dir(below)} {
				if path := filepath.Join(dir, file); os.WriteFile(path, []byte(frozen), 0) == nil {
					state = path
				}
			}
		}
	}
	t.Cleanup(func() {
		if err := Remove(context.Background(), all, name); err != nil {
			t.Error(err)
		}
	})
	Thaw(all, "/"+name)
	if got, err := os.ReadFile(state); err != nil || string(got) != "THAWED\n" && string(got) != "0\n" {
		t.Errorf("%s: %q, %v", state, got, err)
	}
	below := filepath.Join(filepath.Dir(state), "below", filepath.Base(state))
	if got, err := os.ReadFile(below); err != nil || string(got) != "THAWED\n" && string(got) != "0\n" {
		t.Errorf("%s: %q, %v", below, got, err)
	}
}

// TestRemove has processes in a cgroup, in one below it, and in one that is frozen.
func TestRemove(t *testing.T) {
	all, err := Hierarchies()
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	name := fmt.Sprintf("berth-cgroups-test-%d", os.Getpid())
	var killed []*exec.Cmd
	found := false
	for _, h := range all {
		dir, below := filepath.Join(h, name), filepath.Join(h, name, "below")
		file, frozen := "freezer.state", "FROZEN"
		if filepath.Base(h) != "freezer" {
			file, frozen = "cgroup.freeze", "1"
		}
		if err := os.MkdirAll(below, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(below, file)); err != nil {
			continue
		}
		found = true
		killed = append(killed, running(t, dir), running(t, below))
		if err := os.WriteFile(filepath.Join(below, file), []byte(frozen), 0); err != nil {
			t.Fatal(err)
		}
	}
	if !found {
		t.Fatal("no hierarchy freezes")
	}
	for _, other := range []string{"", "/", "..", "system.slice:berth:" + name} {
		Kill(all, other)
		if err := Remove(t.Context(), all, other); err != nil {
			t.Errorf("%q: %v", other, err)
		}
	}
	for _, cmd := range killed {
		if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
			t.Fatalf("a process is gone: %v", err)
		}
	}
	if err := Remove(t.Context(), all, "/"+name); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range killed {
		var e *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &e) || e.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("a process ended by %v", err)
		}
	}
	for _, h := range all {
		if _, err := os.Stat(filepath.Join(h, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", h, err)
		}
	}
	if err := Remove(t.Context(), all, name); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestPathOf(t *testing.T) {
	for spec, want := range map[string]string{
		`{"linux":{"cgroupsPath":"/berth/a","resources":{}}}`: "/berth/a", `{"linux":{}}`: "", `{"linux":null}`: "", `{}`: "",
	} {
		if got, err := PathOf([]byte(spec)); got != want || err != nil {
			t.Errorf("%s: %q, %v", spec, got, err)
		}
	}
	if got, err := PathOf([]byte(`{"linux":`)); err == nil {
		t.Errorf("of half a specification: %q", got)
	}
}
