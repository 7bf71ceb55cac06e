package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestVolumes keeps data where it should be kept, and nowhere else, through
// each client.
func TestVolumes(t *testing.T) {
	scripts(t, func(s script) {
		s.namedVolumes()
		s.anonymousVolumes()
		s.bindMounts()
		s.tmpfs()
		s.empty()
	})
}

func (s script) volumeNames(want string) {
	s.t.Helper()
	if got := strings.Join(strings.Fields(s.ok("volume", "ls", "-q")), " "); got != want {
		s.t.Fatalf("volumes %q, want %q", got, want)
	}
}

func (s script) namedVolumes() {
	s.t.Helper()
	s.ok("run", "--rm", "-v", "data:/data", image, "sh", "-c", "echo kept >/data/file; chown 12:34 /data/file; chmod 640 /data/file")
	s.volumeNames("data")
	s.is("kept 640 12 34", "run", "--rm", "-v", "data:/elsewhere", image, "sh", "-c", "echo $(cat /elsewhere/file) $(stat -c '%a %u %g' /elsewhere/file)")
	// Two containers at once, one of which may only read.
	s.ok("run", "-d", "--name", "writer", "-v", "data:/data", image, "sh", "-c", "echo live >/data/live; sleep 1000")
	await(s.t, "the neighbour sees what is written", func() bool {
		return s.do("run", "--rm", "-v", "data:/data:ro", image, "cat", "/data/live").Stdout == "live\n"
	})
	s.do("run", "--rm", "-v", "data:/data:ro", image, "touch", "/data/x").Fails(s.t, 1, "Read-only file system")
	s.do("volume", "rm", "data").Fails(s.t, 1, "volume is in use")
	s.ok("rm", "-f", "-v", "writer") // -v takes anonymous ones only
	s.volumeNames("data")
	// What the image has there is copied into a volume that is new, with the
	// image's content, and only then.
	s.is(s.ok("run", "--rm", image, "ls", "/var/www"), "run", "--rm", "-v", "www:/var/www", image, "ls", "/var/www")
	s.is("kept", "run", "--rm", "-v", "data:/var/www", image, "cat", "/var/www/file")
	s.is("", "run", "--rm", "--mount", "type=volume,source=bare,target=/var/www,volume-nocopy", image, "ls", "/var/www")
	// A restart of the daemon, and its death, change nothing.
	s.d.Kill()
	s.d.Run()
	s.is("kept", "run", "--rm", "-v", "data:/data", image, "cat", "/data/file")
	s.contains(s.d.Data(), "volume", "inspect", "-f", "{{.Mountpoint}}", "data")
	s.ok("volume", "rm", "data", "www", "bare")
	s.do("volume", "inspect", "data").Fails(s.t, 1, "no such volume")
}

func (s script) anonymousVolumes() {
	s.t.Helper()
	s.ok("run", "--rm", "-v", "/anonymous", image, "touch", "/anonymous/x")
	s.volumeNames("")
	s.ok("run", "--name", "left", "-v", "/anonymous", image, "touch", "/anonymous/x")
	volume := s.ok("inspect", "-f", "{{(index .Mounts 0).Name}}", "left")
	s.volumeNames(volume)
	s.is("/anonymous/x", "run", "--rm", "--volumes-from", "left", image, "ls", "/anonymous/x")
	s.ok("rm", "left")
	s.volumeNames(volume)
	s.ok("volume", "prune", "-f")
	s.volumeNames("")

	s.imageWithVolume("with-volume")
	s.ok("run", "--name", "stored", "with-volume", "touch", "/stored/x")
	s.is("volume /stored", "inspect", "-f", "{{range .Mounts}}{{.Type}} {{.Destination}}{{end}}", "stored")
	s.ok("rm", "-v", "stored")
	s.volumeNames("")
	s.ok("rmi", "with-volume")
}

// imageWithVolume loads the sample image with a VOLUME in its configuration.
func (s script) imageWithVolume(name string) {
	s.t.Helper()
	dir := s.t.TempDir()
	text := strings.Join([]string{
		"set -e", "mkdir x", "cd x", "tar -xf " + sample,
		`config=$(jq -r '.[0].Config' manifest.json)`,
		`jq -c '.config.Volumes = {"/stored": {}}' "$config" >changed.json`,
		`jq -c '.[0].Config = "changed.json" | .[0].RepoTags = ["` + name + `:latest"]' manifest.json >m.json`,
		"mv m.json manifest.json",
		`tar -cf ../image.tar manifest.json changed.json $(jq -r '.[0].Layers[]' manifest.json)`,
	}, "\n")
	cmd := exec.Command("sh", "-c", text)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("image with a volume: %v: %s", err, out)
	}
	s.contains("Loaded image: "+name, "load", "-i", filepath.Join(dir, "image.tar"))
}

func (s script) bindMounts() {
	s.t.Helper()
	dir := s.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("of the host"), 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.is("of the host", "run", "--rm", "-v", dir+":/host:ro", image, "cat", "/host/file")
	s.do("run", "--rm", "-v", dir+":/host:ro", image, "touch", "/host/x").Fails(s.t, 1, "Read-only file system")
	s.do("run", "--rm", "--mount", "type=bind,source="+dir+",target=/host,readonly", image, "touch", "/host/x").Fails(s.t, 1, "Read-only file system")
	s.ok("run", "--rm", "-v", dir+":/host", image, "sh", "-c", "echo back >/host/back")
	if b, err := os.ReadFile(filepath.Join(dir, "back")); string(b) != "back\n" {
		s.t.Fatalf("the host reads %q, %v", b, err)
	}
	s.is("of the host", "run", "--rm", "-v", filepath.Join(dir, "file")+":/etc/motd", image, "cat", "/etc/motd")
	// -v makes a folder that is missing, --mount does not.
	missing := filepath.Join(dir, "missing")
	s.do("run", "--rm", "--mount", "type=bind,source="+missing+",target=/host", image, "true").Fails(s.t, 125, "bind source path does not exist: "+missing)
	s.ok("run", "--rm", "-v", missing+":/host", image, "touch", "/host/x")
	if _, err := os.Stat(filepath.Join(missing, "x")); err != nil {
		s.t.Fatal(err)
	}
	s.volumeNames("")
}

func (s script) tmpfs() {
	s.t.Helper()
	s.contains("tmpfs /scratch tmpfs rw,nosuid,nodev,noexec", "run", "--rm", "--tmpfs", "/scratch:size=1m", image, "grep", "/scratch", "/proc/mounts")
	s.do("run", "--rm", "--tmpfs", "/scratch:size=1m", image, "dd", "if=/dev/zero", "of=/scratch/x", "bs=1M", "count=2").Fails(s.t, 1, "No space left")
	s.ok("run", "--name", "twice", "--tmpfs", "/scratch", image, "sh", "-c", "[ ! -e /scratch/x ] && touch /scratch/x")
	s.ok("start", "-a", "twice")
	s.ok("rm", "twice")
	s.do("run", "--rm", "--read-only", "--tmpfs", "/scratch", image, "sh", "-c", "touch /scratch/x && touch /x").Fails(s.t, 1, "touch: /x: Read-only file system")
}
