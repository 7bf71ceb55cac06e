package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	"golang.org/x/sys/unix"
)

// TestCopyTalk: what cp says of what it does, where, and when it does not.
func TestCopyTalk(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	for name, client := range clients(t) {
		t.Run(name, func(t *testing.T) {
			s := script{t, d, client}
			s.ok("create", "--name", "box", image, "true")
			dir := s.host()
			in, out := []string{filepath.Join(dir, "file"), "box:/in"}, []string{"box:/in", filepath.Join(dir, "out")}
			for _, paths := range [][]string{in, out} {
				told := regexp.MustCompile(`Successfully copied .+ to ` + regexp.QuoteMeta(paths[1]) + "\r?\n")
				for flag, tells := range map[string]bool{"-q": false, "--quiet=true": false, "-q=false": true, "-a": false} {
					r := s.do("cp", flag, paths[0], paths[1])
					r.OK(t)
					if told.MatchString(r.Stderr) != tells || !tells && r.Stderr != "" || r.Stdout != "" {
						t.Errorf("%s: %q, %q", strings.Join(r.Args, " "), r.Stdout, r.Stderr)
					}
				}
				loud := onTerminal(t, d, client, "cp", paths[0], paths[1])
				loud.expect(told.String())
				loud.exits(0)
				quiet := onTerminal(t, d, client, "cp", "-q", paths[0], paths[1])
				quiet.exits(0)
				if shown, ok := quiet.screen.take(told); ok || shown != "" {
					t.Errorf("%s: -q shows %q", name, shown)
				}
			}
			if got := s.file(out[1]); got != "from the host" {
				t.Errorf("%q came out", got)
			}
			s.ok("rm", "box")
		})
	}
}

// TestCopyKeeps: what berth cp carries in both directions, and what it leaves to who
// calls it.
func TestCopyKeeps(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	s := script{t, d, harness.BerthCLI()}
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	at := func(root, name string) string { return filepath.Join(root, name) }
	for _, err := range []error{
		os.Mkdir(from, 0o755), os.WriteFile(at(from, "f"), []byte("content"), 0o600), os.Chown(at(from, "f"), 12, 34), os.Chmod(at(from, "f"), 0o4751|os.ModeSetuid),
		os.Link(at(from, "f"), at(from, "hard")), os.Symlink("/etc/hostname", at(from, "link")), unix.Mkfifo(at(from, "fifo"), 0o640),
		unix.Setxattr(at(from, "f"), "user.mark", []byte("kept"), 0), os.Mkdir(at(from, "sticky"), 0o755), os.Chmod(at(from, "sticky"), 0o1777|os.ModeSticky),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.ok("create", "--name", "box", image, "stat", "-c", "%n %a %u %g %F", "/in/f", "/in/sticky", "/in/link", "/in/fifo")
	s.ok("cp", from, "box:/in")
	s.is("/in/f 4751 12 34 regular file\n/in/sticky 1777 0 0 directory\n/in/link 777 0 0 symbolic link\n/in/fifo 640 0 0 fifo", "start", "-a", "box")
	s.ok("cp", "box:/in", to)
	var f, hard unix.Stat_t
	if err := unix.Stat(at(to, "f"), &f); err != nil || unix.Stat(at(to, "hard"), &hard) != nil || f.Ino != hard.Ino {
		t.Errorf("the hard link came out as another file: %v", err)
	}
	if f.Mode&0o7777 != 0o4751 || f.Uid != 0 || f.Gid != 0 {
		t.Errorf("a file came out with mode %o, of %d:%d", f.Mode&0o7777, f.Uid, f.Gid)
	}
	value := make([]byte, 16)
	if n, err := unix.Getxattr(at(to, "f"), "user.mark", value); string(value[:max(n, 0)]) != "kept" {
		t.Errorf("extended attribute %q, %v", value, err)
	}
	if target, err := os.Readlink(at(to, "link")); target != "/etc/hostname" {
		t.Errorf("link to %q, %v", target, err)
	}
	// A link that the archive brings does not lead out of the destination.
	s.ok("cp", at(from, "f"), "box:/victim")
	if err := os.Symlink(dir, at(to, "away")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(at(from, "away"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at(from, "away/escaped"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.ok("cp", from+"/.", "box:/in")
	s.do("cp", "box:/in/.", to).Fails(t, 1, "cannot overwrite non-directory")
	if _, err := os.Lstat(at(dir, "escaped")); err == nil {
		t.Error("a file went behind a link")
	}
	s.ok("rm", "box")
}
