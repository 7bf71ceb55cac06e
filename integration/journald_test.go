package integration

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestLogDriverJournald writes into systemd's own journal and reads it with its own
// reader.
func TestLogDriverJournald(t *testing.T) {
	t.Parallel()
	sockets, entries := startJournal(t)
	d := start(t, harness.Options{Run: map[string]string{"systemd/journal": sockets}})
	long := strings.Repeat("x", 20000) // more than a line of Docker's has
	id := d.Berth("run", "-d", "--name", "one", "--log-driver", "journald", "--label", "team=blue", "--log-opt", "labels=team", "--log-opt", "tag={{.Name}}/{{.ImageName}}",
		image, "sh", "-c", "echo out; echo err >&2; echo "+long).OK(t)
	d.Berth("wait", "one").OK(t)
	var got []map[string]any
	await(t, "all is in the journal", func() bool {
		got = entries("CONTAINER_NAME=one")
		return len(got) == 4
	})
	printed := map[string]string{} // the priority of each message
	text := ""
	for _, e := range got {
		for name, want := range map[string]string{
			"CONTAINER_ID": id[:12], "CONTAINER_ID_FULL": id, "CONTAINER_TAG": "one/" + image, "SYSLOG_IDENTIFIER": "one/" + image, "IMAGE_NAME": image, "TEAM": "blue",
			"_TRANSPORT": "journal",
		} {
			if e[name] != want {
				t.Errorf("%s is %v, and not %s", name, e[name], want)
			}
		}
		message, _ := e["MESSAGE"].(string)
		printed[message], _ = e["PRIORITY"].(string)
		if e["CONTAINER_PARTIAL_ID"] != nil {
			text += message
		}
	}
	if printed["out"] != "6" || printed["err"] != "3" || text != long {
		t.Errorf("the journal has %d bytes of %d in parts, and %v", len(text), len(long), printed)
	}
	if r := d.Berth("logs", "one"); r.OK(t) != "out\n"+long || r.Stderr != "err\n" {
		t.Errorf("logs: %q, %q", r.Stdout, r.Stderr)
	}
}

// startJournal runs systemd's journal beside the machine's, if that has one, and gives
// the folder of its sockets and a reader of what matches.
func startJournal(t *testing.T) (sockets string, entries func(match string) []map[string]any) {
	t.Helper()
	dir := t.TempDir()
	sockets, kept := filepath.Join(dir, "sockets"), filepath.Join(dir, "log")
	for _, folder := range []string{sockets, kept} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(dir, "journald.conf")
	if err := os.WriteFile(conf, []byte("[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitIntervalSec=0\nForwardToSyslog=no\nForwardToWall=no\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := harness.WithRun(map[string]string{"systemd/journal": sockets, "log/journal": kept},
		"sh", "-c", "mount --bind "+conf+" /etc/systemd/journald.conf && exec /lib/systemd/systemd-journald")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET} // no audit of the machine
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	await(t, "the journal listens", func() bool {
		_, err := os.Stat(filepath.Join(sockets, "socket"))
		return err == nil
	})
	return sockets, func(match string) (all []map[string]any) {
		folders, _ := filepath.Glob(filepath.Join(kept, "*"))
		if len(folders) != 1 {
			return nil
		}
		out, err := exec.Command("journalctl", "--no-pager", "-q", "-D", folders[0], "-o", "json", "--all", match).Output()
		if err != nil {
			t.Fatal(err)
		}
		for d := json.NewDecoder(strings.NewReader(string(out))); ; {
			var e map[string]any
			if err := d.Decode(&e); err == io.EOF {
				return all
			} else if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
	}
}
