package integration

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	"golang.org/x/sys/unix"
)

// TestMountKinds goes through what -v, --mount, --tmpfs and --volumes-from can say, and
// looks at what the kernel made of it.
func TestMountKinds(t *testing.T) {
	scripts(t, func(s script) {
		s.propagation()
		s.recursiveBinds()
		s.bindModes()
		s.volumeOptions()
		s.tmpfsOptions()
		s.mountsUnderMounts()
		s.volumesFrom()
		s.readOnlyRoot()
		s.ok("volume", "prune", "-af")
		s.empty()
		awaitClean(s.t, s.d)
	})
}

// sharedFolder is a mount of the host's own, with a folder "in", that events spread from
// and into.
func (s script) sharedFolder() string {
	s.t.Helper()
	dir := s.t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		for _, at := range []string{filepath.Join(dir, "in"), dir} {
			if err := unix.Unmount(at, unix.MNT_DETACH); err != nil && at == dir {
				s.t.Error(err)
			}
		}
	})
	if err := unix.Mount("", dir, "", unix.MS_SHARED, ""); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "in"), 0o755); err != nil {
		s.t.Fatal(err)
	}
	return dir
}

// mountIn mounts a tmpfs with a file "f" on the folder "in" of a shared folder.
func (s script) mountIn(dir string) {
	s.t.Helper()
	at := filepath.Join(dir, "in")
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=1m"); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(at, "f"), []byte("mounted"), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s script) propagation() {
	s.t.Helper()
	dir := s.sharedFolder()
	for _, c := range []struct{ name, flag, value string }{
		{"slave", "-v", dir + ":/x:rslave"}, {"private", "-v", dir + ":/x"}, {"shared", "--mount", "type=bind,source=" + dir + ",target=/x,bind-propagation=rshared"},
	} {
		s.ok("run", "-d", "--privileged", "--name", c.name, c.flag, c.value, image, "sleep", "1000")
	}
	s.is("rslave", "inspect", "-f", "{{(index .Mounts 0).Propagation}}", "slave")
	s.mountIn(dir) // of the host
	s.is("mounted", "exec", "slave", "cat", "/x/in/f")
	s.is("mounted", "exec", "shared", "cat", "/x/in/f")
	s.do("exec", "private", "cat", "/x/in/f").Fails(s.t, 1, "No such file")
	if err := unix.Unmount(filepath.Join(dir, "in"), 0); err != nil {
		s.t.Fatal(err)
	}
	for name, spreads := range map[string]bool{"slave": false, "private": false, "shared": true} { // of containers
		s.ok("exec", name, "sh", "-c", "mount -t tmpfs t /x/in && echo >/x/in/g")
		if _, err := os.Stat(filepath.Join(dir, "in/g")); (err == nil) != spreads {
			s.t.Errorf("the host sees the mount of %s: %v", name, err)
		}
		s.ok("exec", name, "umount", "/x/in")
	}
	s.ok("rm", "-f", "slave", "private", "shared")
	if err := unix.Mount("", dir, "", unix.MS_PRIVATE, ""); err != nil {
		s.t.Fatal(err)
	}
	s.do("run", "--rm", "-v", dir+":/x:rshared", image, "true").Fails(s.t, 125, fmt.Sprintf("path %s is mounted on %s but it is not a shared mount", dir, dir))
	s.do("run", "--rm", "-v", dir+":/x:slave", image, "true").Fails(s.t, 125, fmt.Sprintf("path %s is mounted on %s but it is not a shared or slave mount", dir, dir))
}

// recursiveBinds: what is mounted below the source is read-only, too, unless asked
// otherwise.
func (s script) recursiveBinds() {
	s.t.Helper()
	dir := s.sharedFolder()
	s.mountIn(dir)
	for options, want := range map[string]string{
		"":                                  "in",
		",readonly":                         "",
		",readonly,bind-recursive=enabled":  "",
		",readonly,bind-recursive=writable": "in",
		",readonly,bind-recursive=disabled": "hidden",
		",bind-recursive=disabled":          "hidden",
		",readonly,bind-recursive=readonly,bind-propagation=rprivate": "",
	} {
		got := s.ok("run", "--rm", "--mount", "type=bind,source="+dir+",target=/x"+options, image, "sh", "-c",
			"if [ ! -e /x/in/f ]; then echo hidden; elif touch /x/in/f 2>/dev/null; then echo in; fi")
		if got != want {
			s.t.Errorf("%s: writable or hidden is %q, want %q", options, got, want)
		}
	}
	s.is("", "run", "--rm", "-v", dir+":/x:ro", image, "sh", "-c", "touch /x/in/f 2>/dev/null && echo in; touch /x/f 2>/dev/null && echo top; true")
	s.do("create", "--mount", "type=bind,source="+dir+",target=/x,bind-recursive=readonly", image).Fails(s.t, 125, "option 'bind-recursive=readonly' requires 'readonly'")
	s.oldReadOnly(dir)
}

// oldReadOnly: before API 1.44 a read-only bind left what is mounted below its source
// writable, and so does one that is taken over from it.
func (s script) oldReadOnly(dir string) {
	s.t.Helper()
	old := func(args ...string) string {
		s.t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
		defer cancel()
		cmd := s.d.Command(ctx, s.client, args...)
		cmd.Env = append(cmd.Env, "DOCKER_API_VERSION=1.43")
		return s.d.Done(cmd).OK(s.t)
	}
	const look = "touch /x/in/f 2>/dev/null && echo in; touch /x/f 2>/dev/null && echo top; true"
	bind, mount := []string{"-v", dir + ":/x:ro"}, []string{"--mount", "type=bind,source=" + dir + ",target=/x,readonly"}
	for _, flags := range [][]string{bind, mount} {
		if got := old(slices.Concat([]string{"run", "--name", "old"}, flags, []string{image, "sh", "-c", look})...); got != "in" {
			s.t.Errorf("%v of an old client: %q can be written", flags, got)
		}
		s.is("false", "inspect", "-f", "{{(index .Mounts 0).RW}}", "old")
		s.is("", "inspect", "-f", "{{range .HostConfig.Mounts}}{{with .BindOptions}}{{.}}{{end}}{{end}}", "old")
		s.is("in", "run", "--rm", "--volumes-from", "old", image, "sh", "-c", look)
		s.ok("rm", "old")
	}
	s.ok("create", "--name", "new", "-v", dir+":/x:ro", image)
	if got := old("run", "--rm", "--volumes-from", "new", image, "sh", "-c", look); got != "" {
		s.t.Errorf("what an old client takes over of a new one's: %q can be written", got)
	}
	s.ok("rm", "new")
}

// bindModes are those of -v, all at once; labels of SELinux do nothing without it.
func (s script) bindModes() {
	s.t.Helper()
	dir := s.host()
	for mode, writes := range map[string]bool{"z": true, "Z": true, "rw,z": true, "ro,Z": false, "cached": true, "private": true, "ro,rprivate,z,delegated": false} {
		if got := s.do("run", "--rm", "-v", dir+":/x:"+mode, image, "touch", "/x/new"); (got.Code == 0) != writes {
			s.t.Errorf("%s: exit code %d: %s", mode, got.Code, got.Stderr)
		}
	}
	s.ok("create", "--name", "box", "-v", dir+":/x:ro,z", image)
	s.is("ro,z false", "inspect", "-f", "{{with index .Mounts 0}}{{.Mode}} {{.RW}}{{end}}", "box")
	s.ok("rm", "box")
	// Only who says so has a source made.
	missing := filepath.Join(dir, "missing")
	mount := "type=bind,source=" + missing + ",target=/x"
	s.d.Berth("run", "--rm", "--mount", mount, image, "true").Fails(s.t, 125, "bind source path does not exist: "+missing)
	s.d.Berth("run", "--rm", "--mount", mount+",bind-create-src", image, "touch", "/x/made").OK(s.t)
	if _, err := os.Stat(filepath.Join(missing, "made")); err != nil {
		s.t.Error(err)
	}
	s.do("run", "--rm", "-v", dir+"/file/x:/x", image, "true").Fails(s.t, 125, "not a directory")
}

func (s script) volumeOptions() {
	s.t.Helper()
	s.ok("run", "--rm", "--mount", "type=volume,source=ram,target=/x,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,\"volume-opt=o=size=1m,uid=7\",volume-label=a=b",
		image, "sh", "-c", "test $(stat -c %u /x) = 7; dd if=/dev/zero of=/x/f bs=1M count=2 2>/dev/null; test $(stat -c %s /x/f) -le 1048576")
	s.is("b tmpfs size=1m,uid=7", "volume", "inspect", "-f", `{{.Labels.a}} {{.Options.type}} {{.Options.o}}`, "ram")
	s.is("", "run", "--rm", "-v", "ram:/x", image, "ls", "/x") // its memory went with its last container
	dir := s.host()
	s.ok("volume", "create", "-o", "type=none", "-o", "device="+dir, "-o", "o=bind,ro", "place")
	s.is("from the host", "run", "--rm", "-v", "place:/x", image, "cat", "/x/file")
	s.do("run", "--rm", "-v", "place:/x", image, "touch", "/x/f").Fails(s.t, 1, "Read-only file system")
	s.ok("volume", "rm", "place")
	if s.file(filepath.Join(dir, "file")) != "from the host" {
		s.t.Error("the folder went with its volume")
	}
	// What cannot be mounted says why, and nothing is left of it.
	for name, c := range map[string]struct {
		options []string
		code    int // Docker's client takes some words for those of a missing command
		want    string
	}{
		"nowhere": {[]string{"type=none", "device=/no/such", "o=bind"}, 127, "failed to mount local volume: mount /no/such:"},
		"nfs":     {[]string{"type=nfs", "device=:/x", "o=addr=127.0.0.1,nolock,soft,timeo=1,retrans=0,password=secret"}, 125, "failed to mount local volume: mount :/x:"},
		"nohost":  {[]string{"type=nfs", "device=:/x", "o=addr=no-such-host.invalid"}, 125, "error resolving passed in network volume address"},
		"nofs":    {[]string{"type=nofs", "device=x"}, 125, "no such device"},
	} {
		args := []string{"volume", "create"}
		for _, o := range c.options {
			args = append(args, "-o", o)
		}
		s.ok(append(args, name)...)
		got := s.do("run", "--rm", "-v", name+":/x:nocopy", image, "true")
		got.Fails(s.t, c.code, c.want)
		if !strings.Contains(got.Stderr, "error while mounting volume '"+filepath.Join(s.d.Data(), "volumes", name, "_data")+"': ") || strings.Contains(got.Stderr, "secret") {
			s.t.Errorf("%s: %s", name, got.Stderr)
		}
		s.ok("volume", "rm", name)
	}
	// A part of a volume, and of none.
	s.ok("run", "--rm", "-v", "parts:/v", image, "sh", "-c", "mkdir -p /v/a/b; echo part >/v/a/b/f; ln -s a/b /v/in")
	for _, sub := range []string{"a/b", "in"} {
		s.is("part", "run", "--rm", "--mount", "type=volume,source=parts,target=/x,volume-subpath="+sub, image, "cat", "/x/f")
	}
	s.do("run", "--rm", "--mount", "type=volume,source=parts,target=/x,volume-subpath=none", image, "true").Fails(s.t, 127, "cannot access path")
	s.is("", "run", "--rm", "-v", "bare:/etc:nocopy", image, "/bin/busybox", "find", "/etc", "-type", "f", "-size", "+200")
	s.ok("volume", "rm", "ram", "parts", "bare")
}

func (s script) tmpfsOptions() {
	s.t.Helper()
	s.is("1770", "run", "--rm", "--mount", "type=tmpfs,target=/x,tmpfs-size=1m,tmpfs-mode=1770", image, "sh", "-c",
		"stat -c %a /x; dd if=/dev/zero of=/x/f bs=1M count=2 2>/dev/null; test $(stat -c %s /x/f) -le 1048576")
	s.is("rw,nosuid,nodev,noexec,relatime", "run", "--rm", "--mount", "type=tmpfs,target=/x", image, "sh", "-c", "grep ' /x ' /proc/mounts | cut -d' ' -f4 | sed 's/,inode64//'")
	s.do("run", "--rm", "--mount", "type=tmpfs,target=/x,readonly", image, "touch", "/x/f").Fails(s.t, 1, "Read-only file system")
	s.is("7", "run", "--rm", "--tmpfs", "/x:exec,uid=7", image, "sh", "-c", "cp /bin/busybox /x/stat && /x/stat -c %u /x")
}

// mountsUnderMounts: whatever the order in which they are asked for, what is nearer to
// the root is mounted first.
func (s script) mountsUnderMounts() {
	s.t.Helper()
	dir := s.host()
	s.is("/m/1/2/3/f deep|/m/1/2 tmpfs|/m/1 volume|/m from the host", "run", "--rm",
		"-v", dir+"/tree/sub:/m/1/2/3", "--tmpfs", "/m/1/2", "-v", "middle:/m/1", "-v", dir+":/m", image, "sh", "-c",
		`echo volume >/m/1/f; echo tmpfs >/m/1/2/f; echo "/m/1/2/3/f $(cat /m/1/2/3/f)|/m/1/2 $(cat /m/1/2/f)|/m/1 $(cat /m/1/f)|/m $(cat /m/file)"`)
	s.is("volume", "run", "--rm", "-v", "middle:/x", image, "cat", "/x/f")
	if _, err := os.Stat(filepath.Join(dir, "1/f")); err == nil {
		s.t.Error("what belongs into the volume is in the folder below it")
	}
	s.ok("volume", "rm", "middle")
}

func (s script) volumesFrom() {
	s.t.Helper()
	dir := s.host()
	s.ok("run", "--name", "giver", "-v", "given:/v", "-v", "/anonymous", "-v", dir+":/b:ro", "--tmpfs", "/t", image, "sh", "-c", "echo v >/v/f; echo a >/anonymous/f")
	s.is("v a from the host", "run", "--rm", "--volumes-from", "giver", image, "sh", "-c", "echo $(cat /v/f /anonymous/f /b/file)")
	for mode, writes := range map[string]bool{"": true, ":rw": true, ":ro": false, ":ro,z": false, ":z": true, ":cached,rw": true} {
		if got := s.do("run", "--rm", "--volumes-from", "giver"+mode, image, "touch", "/v/g", "/anonymous/g"); (got.Code == 0) != writes {
			s.t.Errorf("volumes from giver%s: exit code %d", mode, got.Code)
		}
	}
	s.do("run", "--rm", "--volumes-from", "giver", image, "touch", "/b/f").Fails(s.t, 1, "Read-only file system")
	for _, mode := range []string{"ro,rw", "nocopy", "rshared", "xx"} {
		s.do("create", "--volumes-from", "giver:"+mode, image).Fails(s.t, 1, "invalid mode: "+mode)
	}
	// One's own goes before another's.
	s.is("", "run", "--rm", "--volumes-from", "giver", "-v", "own:/v", image, "ls", "/v")
	s.ok("run", "--name", "taker", "--volumes-from", "giver", image, "true")
	s.ok("rm", "-v", "giver")
	s.is("a", "run", "--rm", "--volumes-from", "taker", image, "cat", "/anonymous/f") // in use by another
	s.ok("rm", "-v", "taker")
	s.volumeNames("given own")
	s.ok("volume", "rm", "given", "own")
}

func (s script) readOnlyRoot() {
	s.t.Helper()
	s.is("written", "run", "--rm", "--read-only", "-v", "ww:/w", "-v", "/a", "--tmpfs", "/t", image, "sh", "-c",
		"touch /w/f /a/f /t/f && ! touch /f 2>/dev/null && ! touch /etc/f 2>/dev/null && ! touch /etc/hosts 2>/dev/null && echo written")
	s.do("run", "--rm", "--read-only", "-v", "ww:/w:ro", image, "touch", "/w/f").Fails(s.t, 1, "Read-only file system")
	s.ok("volume", "rm", "ww")
}

// TestCopyUpOfImages: a new volume has all that the image's folder has.
func TestCopyUpOfImages(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	s := script{t, d, harness.BerthCLI()}
	var stream bytes.Buffer
	w := tar.NewWriter(&stream)
	for _, h := range []tar.Header{
		{Name: "data", Typeflag: tar.TypeDir, Mode: 0o2751, Uid: 11, Gid: 12},
		{Name: "data/f", Typeflag: tar.TypeReg, Mode: 0o4640, Uid: 1234, Gid: 2345, Size: 4, PAXRecords: map[string]string{"SCHILY.xattr.user.k": "v\x00w"}},
		{Name: "data/hard", Typeflag: tar.TypeLink, Linkname: "data/f", Mode: 0o4640, Uid: 1234, Gid: 2345},
		{Name: "data/link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd", Uid: 3, Gid: 4},
		{Name: "data/dir", Typeflag: tar.TypeDir, Mode: 0o1777},
		{Name: "data/fifo", Typeflag: tar.TypeFifo, Mode: 0o600},
		{Name: "data/null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte("data")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	d.Client(s.client, &stream, "import", "-c", "CMD none", "-", "full:v1").OK(t)
	s.ok("create", "--name", "box", "-v", "vol:/data", "-v", "bare:/data/dir", "full:v1")
	at := filepath.Join(d.Data(), "volumes/vol/_data")
	got := string(pipe(t, nil, "sh", "-c", `cd "$0" && stat -c '%n %F %a %u %g %h' . * && readlink link && stat -c %t,%T null && cat hard`, at))
	want := `. directory 2751 11 12 3
dir directory 1777 0 0 2
f regular file 4640 1234 2345 2
fifo fifo 600 0 0 1
hard regular file 4640 1234 2345 2
link symbolic link 777 3 4 1
null character special file 666 0 0 1
/etc/passwd
1,3
data`
	if got != want {
		t.Errorf("the volume holds\n%s\nwant\n%s", got, want)
	}
	value := make([]byte, 8)
	if n, err := unix.Lgetxattr(filepath.Join(at, "f"), "user.k", value); err != nil || string(value[:n]) != "v\x00w" {
		t.Errorf("extended attribute %q, %v", value, err)
	}
	s.ok("rm", "-v", "box")
	s.ok("volume", "rm", "vol", "bare")
	s.ok("rmi", "full:v1")
}
